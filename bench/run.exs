Bench.Suite.run(System.argv(), System.get_env())
