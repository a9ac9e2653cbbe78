defmodule ZenMonitor.LibraryTest do
  use ExUnit.Case, async: true

  alias Mix.ZenMonitor.Library.{Archive, Checksums, Manifest, Target}

  @expected %{package: "3.0.0", sources: "abc", target: "x86_64-unknown-linux-gnu", nif: "2.16"}
  @manifest struct!(Manifest, Map.merge(@expected, %{rustc: "rustc 1.91.0", library: "sha256:1"}))

  describe "a target" do
    test "has the name that Rust gives it" do
      for {architecture, target} <- %{
            "x86_64-pc-linux-gnu" => "x86_64-unknown-linux-gnu",
            "aarch64-unknown-linux-gnu" => "aarch64-unknown-linux-gnu",
            "x86_64-alpine-linux-musl" => "x86_64-unknown-linux-musl",
            "aarch64-apple-darwin22.1.0" => "aarch64-apple-darwin",
            "arm-apple-darwin20.0.0" => "aarch64-apple-darwin",
            "x86_64-apple-darwin21.6.0" => "x86_64-apple-darwin",
            "win32" => "win32"
          } do
        assert Target.from(architecture) == target
      end
    end
  end

  describe "a manifest" do
    test "reads what it wrote" do
      assert Manifest.decode(Manifest.encode(@manifest)) == {:ok, @manifest}
    end

    test "says what is missing" do
      assert Manifest.decode("package: 3.0.0\ntarget: x\nnif: 2.16\nlibrary: y\n") ==
               {:error, "its manifest does not say sources, rustc"}
    end

    test "fits what it was made for, and nothing else" do
      assert Manifest.check(@manifest, @expected) == :ok

      for {field, found} <- [
            target: "aarch64-unknown-linux-gnu",
            package: "3.0.1",
            nif: "2.17",
            sources: "def"
          ] do
        assert {:error, sentence} =
                 Manifest.check(Map.replace!(@manifest, field, found), @expected)

        assert sentence =~ found
        assert sentence =~ Map.fetch!(@expected, field)
      end
    end

    test "names the tarball" do
      assert Manifest.name(@manifest) == "zen_monitor_nif-3.0.0-nif-2.16-x86_64-unknown-linux-gnu"
    end
  end

  describe "an archive" do
    test "gives back what it was made of" do
      library = :crypto.strong_rand_bytes(100_000)

      assert Archive.unpack(Archive.pack(@manifest, library)) ==
               {:ok, Manifest.encode(@manifest), library}
    end

    test "is the same a second time and by another user" do
      first = Archive.pack(@manifest, "library")
      Process.sleep(1_100)
      assert Archive.pack(@manifest, "library") == first

      assert <<_name_and_mode::binary-108, user::binary-8, group::binary-8, _size::binary-12,
               time::binary-12, _::binary>> = :zlib.gunzip(first)

      for number <- [user, group, time], do: assert(number =~ ~r/^0+[ \0]*$/)
    end

    test "that is cut off or damaged anywhere is refused, or has its library changed" do
      library = :crypto.strong_rand_bytes(2_000)
      bytes = Archive.pack(@manifest, library)

      for size <- [0, 1, 10, div(byte_size(bytes), 2), byte_size(bytes) - 1] do
        assert {:error, "it is damaged" <> _} = Archive.unpack(binary_part(bytes, 0, size))
      end

      for at <- 20..(byte_size(bytes) - 9)//97 do
        {before, [byte | rest]} = bytes |> :binary.bin_to_list() |> Enum.split(at)
        damaged = IO.iodata_to_binary([before, Bitwise.bxor(byte, 0x55), rest])
        assert {:error, _} = Archive.unpack(damaged)
      end
    end

    test "of something else is refused" do
      assert {:error, "it does not contain" <> _} = Archive.unpack(other_tarball())
      assert {:error, "it is damaged, or no tarball" <> _} = Archive.unpack("words")
      assert {:error, "it is damaged, or no tarball" <> _} = Archive.unpack(:zlib.gzip("words"))
    end
  end

  describe "a checksum file" do
    setup do
      folder = Path.join(System.tmp_dir!(), "zen_monitor_checksums_#{System.pid()}")
      File.mkdir_p!(folder)
      on_exit(fn -> File.rm_rf!(folder) end)
      %{folder: folder, checksums: Path.join(folder, "checksum-Elixir.ZenMonitor.Native.exs")}
    end

    test "need not be there", %{folder: folder} do
      assert Checksums.check(folder, "a", "sha256:1") == :ok
    end

    test "holds the line that was printed", %{folder: folder, checksums: file} do
      File.write!(file, "%{\n  #{Checksums.entry("a", "sha256:1")},\n}\n")
      assert Checksums.check(folder, "a", "sha256:1") == :ok
      assert {:error, sentence} = Checksums.check(folder, "a", "sha256:2")
      assert sentence =~ "has the checksum sha256:2"
      assert sentence =~ "expects sha256:1 for a"
      assert {:error, sentence} = Checksums.check(folder, "b", "sha256:1")
      assert sentence =~ ~s(add the line "b" => "sha256:1")
    end

    test "is never run", %{folder: folder, checksums: file} do
      for text <- [~s|File.rm!("#{file}")\n%{}|, "%{a: 1}", "[", "", ~s|%{"a" => inspect(1)}|] do
        File.write!(file, text)
        assert {:error, sentence} = Checksums.check(folder, "a", "sha256:1")
        assert sentence =~ "is no map of names to checksums"
        assert File.exists?(file)
      end
    end

    test "that cannot be read is no reason to trust", %{folder: folder, checksums: file} do
      File.mkdir_p!(file)
      assert {:error, sentence} = Checksums.check(folder, "a", "sha256:1")
      assert sentence =~ "cannot be read"
    end

    test "has digests as sha256sum has them" do
      assert Checksums.digest("abc") ==
               "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    end
  end

  defp other_tarball do
    file = Path.join(System.tmp_dir!(), "zen_monitor_other_#{System.pid()}.tar.gz")
    :ok = :erl_tar.create(file, [{~c"readme", "words"}], [:compressed])
    bytes = File.read!(file)
    File.rm!(file)
    bytes
  end
end
