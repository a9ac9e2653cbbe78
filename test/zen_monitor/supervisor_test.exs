defmodule ZenMonitor.SupervisorTest do
  use ZenMonitor.Case

  # A mass exit would wait for what is loaded in its midst.
  test "loads all modules of the tree as it starts" do
    peer = Cluster.start_peer()
    loaded = Map.new(Cluster.call(peer, :code, :all_loaded, []))

    for module <- Application.spec(:zen_monitor, :modules),
        match?("Elixir.ZenMonitor" <> _, Atom.to_string(module)) do
      assert is_map_key(loaded, module), "#{inspect(module)} is not loaded"
    end
  end

  test "starts where the application is not loaded" do
    peer = Cluster.start_peer(application: false)
    assert {:ok, _} = Cluster.call(peer, ZenMonitor.Supervisor, :start_link, [[]])
  end
end
