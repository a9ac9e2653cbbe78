defmodule ZenMonitor.ErlangTest do
  # The module for Erlang, from Erlang source.
  use ZenMonitor.Case

  @module :zen_monitor_from_erlang

  setup_all do
    source = Path.join(__DIR__, "#{@module}.erl")
    options = [:binary, :return_errors, :warnings_as_errors, :return_warnings]
    {:ok, @module, code, []} = :compile.file(String.to_charlist(source), options)
    {:module, @module} = :code.load_binary(@module, String.to_charlist(source), code)
    %{peer: start_connected_peer()}
  end

  for test <- [:one, :options, :many, :set, :bulk_set, :errors, :others] do
    test "#{test}", %{peer: peer} do
      assert apply(@module, unquote(test), [on(peer, :target)]) == :ok
      refute_receive _, 20
    end
  end

  test "it has each function of ZenMonitor that is not a setting, and each of ZenMonitor.Set" do
    functions = fn module ->
      for {name, arity} <- module.__info__(:functions),
          name not in [:__struct__],
          do: {name, arity}
    end

    settings = [:gen_module, :idle_timeout, :nodedown_grace, :now, :find_node]
    plain = for {name, arity} <- functions.(ZenMonitor), name not in settings, do: {name, arity}

    of_sets =
      for {name, arity} <- functions.(ZenMonitor.Set) do
        {:"set_#{if name == :member?, do: :is_member, else: name}", arity}
      end

    assert (plain ++ of_sets) -- :zen_monitor.module_info(:exports) == []
  end
end
