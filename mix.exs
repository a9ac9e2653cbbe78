# The compiler of the native library has to exist before anything of this project is compiled, here
# and in a project that depends on it. Mix evaluates this file first in both cases.
Code.require_file("native/compiler.exs", __DIR__)

defmodule ZenMonitor.MixProject do
  use Mix.Project

  @version "3.0.0"

  def project do
    [
      app: :zen_monitor,
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: elixirc_paths(Mix.env()),
      elixirc_options: elixirc_options(),
      compilers: [:zen_monitor_native | Mix.compilers()],
      start_permanent: Mix.env() == :prod,
      deps: deps(Mix.env()),
      aliases: aliases(),
      name: "ZenMonitor",
      description: description(),
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [
      mod: {ZenMonitor.Application, []},
      extra_applications: [:logger, telemetry: :optional] ++ extra_applications(Mix.env())
    ]
  end

  # Makes the certificates of nodes that speak TLS.
  defp extra_applications(:test), do: [:public_key]
  defp extra_applications(_), do: []

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(:bench), do: ["lib", "bench/support", "bench/scenarios"]
  defp elixirc_paths(_), do: ["lib"]

  # Elixir 1.20 would infer types from every extra application, and warn when telemetry is absent.
  defp elixirc_options do
    if Version.match?(System.version(), ">= 1.20.0"),
      do: [infer_signatures: [:logger]],
      else: []
  end

  # The application is started by the test helper, once this VM has its name as a node.
  defp aliases, do: [test: "test --no-start"]

  # Without Hex, Mix refuses a project that lists a Hex package, whatever its `only:`; so what only
  # tooling needs is listed in environments of its own. The benchmarks can do without Benchee.
  defp deps(:bench) do
    if Code.ensure_loaded?(Hex) and not Code.ensure_loaded?(Benchee),
      do: [{:benchee, "~> 1.3", only: :bench}],
      else: []
  end

  defp deps(:docs), do: [{:ex_doc, "~> 0.34", only: :docs, runtime: false}]
  defp deps(_), do: []

  defp description do
    "Process monitors between Erlang nodes that stay cheap by the million: batched, throttled, " <>
      "exactly once."
  end

  defp package do
    [
      licenses: ["MIT"],
      links: %{},
      files: [
        "lib",
        "src",
        "native/compiler.exs",
        "native/*/Cargo.toml",
        "native/*/src",
        # Cargo refuses a manifest whose benches are not there.
        "native/*/benches/**/*.rs",
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        "mix.exs",
        "README.md",
        "CHANGELOG.md",
        "LICENSE"
      ]
    ]
  end

  defp docs do
    [
      main: "readme",
      source_ref: "v#{@version}",
      extras: [
        "README.md",
        "guides/sets.md",
        "guides/differences.md",
        "guides/operations.md",
        "guides/architecture.md",
        "guides/pace.md",
        "guides/monitor_table.md",
        "guides/watched_side.md",
        "guides/connections.md",
        "guides/native_boundary.md",
        "guides/protocol.md",
        "guides/measured.md",
        "docs/reliability.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE"
      ],
      groups_for_extras: [Guides: ~r"guides/|docs/"],
      groups_for_modules: [
        Observing: [ZenMonitor.Metrics, ZenMonitor.Telemetry],
        "The watching side": ~r/^ZenMonitor\.Local/,
        "The watched side": ~r/^ZenMonitor\.(Proxy|Truncator)/
      ],
      # The guides name what is internal, and do not link to it.
      skip_code_autolink_to: [
        "ZenMonitor.Native",
        "ZenMonitor.Native.sizes/0",
        "ZenMonitor.Server"
      ]
    ]
  end
end
