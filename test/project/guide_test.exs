defmodule ZenMonitor.GuideTest do
  # The guild of the guide to sets, before and after: all three do the same.
  use ZenMonitor.Case

  @guilds [Guild.WithProcessMonitor, Guild.WithZenMonitor, Guild.WithSet]

  setup_all do
    # The examples of all pages are run elsewhere, too.
    forget()
    on_exit(&forget/0)

    for [block] <-
          Regex.scan(~r/^```elixir\n(defmodule Guild.*?)^```$/ms, File.read!("guides/sets.md"),
            capture: :all_but_first
          ) do
      Code.compile_string(block, "guides/sets.md")
    end

    %{peer: start_connected_peer()}
  end

  for guild <- @guilds do
    @tag guild: guild
    test "#{inspect(guild)} knows who is online", %{peer: peer, guild: guild} do
      {:ok, pid} = guild.start_link(nil)
      sessions = on(peer, :targets, [20])
      users = for {session, number} <- Enum.with_index(sessions), do: {session, number}
      {first, second} = Enum.split(users, 12)
      :ok = guild.join(pid, first)
      # Some of them again, under another name.
      :ok = guild.join(pid, [{hd(sessions), :other} | second])
      assert Enum.sort(guild.online(pid)) == Enum.to_list(0..19)

      :ok = guild.leave(pid, Enum.at(sessions, 3))
      :ok = guild.leave(pid, self())
      on(peer, :kill, [Enum.take(sessions, 6)])
      wait_until(fn -> Enum.sort(guild.online(pid)) == Enum.to_list(6..19) end)

      # Who left and comes back is watched again.
      :ok = guild.leave(pid, List.last(sessions))
      :ok = guild.join(pid, [{List.last(sessions), :again}])
      on(peer, :kill, [Enum.drop(sessions, 6)])
      wait_until(fn -> guild.online(pid) == [] end)
      assert Process.alive?(pid)
    end
  end

  defp forget do
    for guild <- @guilds do
      :code.purge(guild)
      :code.delete(guild)
    end
  end
end
