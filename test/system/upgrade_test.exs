defmodule ZenMonitor.UpgradeTest do
  # New versions of the modules are loaded into the running system, and the tables stay what they are.
  # Each module is loaded twice, because a second load purges what the first has made the old code.
  use ZenMonitor.Case

  setup do
    %{peer: start_connected_peer()}
  end

  test "of the module that loaded the native library keeps all that is in the tables", context do
    %{peer: peer} = context
    survive(peer, fn -> load(Native) end)
  end

  test "of every module keeps them as well, and no process dies", %{peer: peer} do
    {:ok, modules} = :application.get_key(:zen_monitor, :modules)
    modules = for module <- modules, not support?(module), do: module
    assert Native in modules
    former = registered(modules)
    survive(peer, fn -> Enum.each(modules, &load/1) end)
    assert registered(modules) == former
  end

  test "works on the watched side, too", %{peer: peer} do
    survive(peer, fn -> on(peer, :load, [Native]) end)
  end

  test "is refused for another native library, and the former one goes on", %{peer: peer} do
    survive(peer, fn ->
      assert load_with_another_library() == {:error, :on_load_failure}
    end)
  end

  # Monitors from before the upgrade fire after it, or are removed after it. Subscribers and connectors from before it die
  # after it. Then all of this works with new ones.
  defp survive(peer, upgrade) do
    [first, second, third | more] = on(peer, :targets, [1_000])
    [ref, removed, kept | _] = watch_all([first, second, third | more])
    watcher = PeerScript.watcher()
    PeerScript.place(watcher, second)
    own = PeerScript.target()
    away = on(peer, :watcher)
    on(peer, :place, [away, own])
    wait_until_watched(own)
    assert standing() == 1_001

    for _ <- 1..2, do: upgrade.()

    assert standing() == 1_001
    on(peer, :kill, [[first]])
    assert reason(ref) == :killed
    assert ZenMonitor.demonitor(removed, [:info])
    kill(watcher)
    wait_until(fn -> standing() == 998 and not watched?(second) end)
    # This detaches a connector that was attached before the upgrade.
    on(peer, :stop_application)
    wait_until(fn -> not watched?(own) end)
    assert reason(kept) == :nodedown
    on(peer, :start_application)
    # The node counts as incompatible for a while, because its Proxy has died.
    wait_until(fn -> ZenMonitor.connect(peer.node) == :compatible end)
    ref = watch(second)
    on(peer, :kill, [[second]])
    assert reason(ref) == :killed
    watcher = PeerScript.watcher()
    PeerScript.place(watcher, third)
    kill(watcher)

    wait_until(fn ->
      Keyword.drop(Native.sizes(), [:subscribers]) |> Keyword.values() |> Enum.sum() == 0
    end)
  end

  defp load(module), do: PeerScript.load(module)

  defp load_with_another_library do
    library = Application.app_dir(:zen_monitor, "priv/native/zen_monitor_nif")
    other = Path.join(System.tmp_dir!(), "zen_monitor_other_#{System.pid()}")
    File.cp!(library <> ".so", other <> ".so")
    on_exit(fn -> File.rm(other <> ".so") end)
    {_, binary, _} = :code.get_object_code(Native)
    {:ok, {_, [abstract_code: {_, forms}]}} = :beam_lib.chunks(binary, [:abstract_code])
    {:ok, Native, binary} = :compile.forms(redirect(forms, other), [])
    :code.purge(Native)
    :code.load_binary(Native, ~c"other", binary)
  end

  # The same module with another path of its library.
  defp redirect(forms, path) do
    for form <- forms do
      case form do
        {:function, line, :load, 0, _} ->
          {:function, line, :load, 0,
           [
             {:clause, line, [], [],
              [
                {:call, line, {:remote, line, {:atom, line, :erlang}, {:atom, line, :load_nif}},
                 [{:string, line, String.to_charlist(path)}, {:integer, line, 0}]}
              ]}
           ]}

        form ->
          form
      end
    end
  end

  defp registered(modules), do: for(module <- modules, do: Process.whereis(module))

  defp support?(module) do
    source = module.module_info(:compile)[:source]
    source |> to_string() |> String.contains?("/test/")
  end
end
