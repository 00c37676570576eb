"""Tests of compare.py with small programs in place of engines: `python3 -m unittest discover benches/compare`."""

import contextlib
import io
import json
import stat
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import compare

OURS = {
    "model": "m", "threads": 2, "peak_rss_bytes": 5,
    "results": [
        {"test": "pp512", "tokens_per_second": [100.0, 300.0, 200.0], "median": 200.0},
        {"test": "tg64", "tokens_per_second": [40.0], "median": 40.0},
    ],
}
PEER = [
    {"n_prompt": 512, "n_gen": 0, "n_depth": 0, "n_threads": 2, "avg_ts": 100.0, "samples_ts": [90.0, 100.0, 110.0]},
    {"n_prompt": 0, "n_gen": 64, "n_depth": 0, "n_threads": 2, "avg_ts": 10.0, "samples_ts": [10.0]},
]


class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.model = self.folder / "tiny.gguf"
        self.model.write_bytes(b"GGUF")

    def program(self, name, output, status=0, complaint="the reason"):
        """A program that appends its arguments to `log` and prints `output`, and `complaint` on standard error."""
        path = self.folder / name
        path.write_text(
            f"#!{sys.executable}\nimport sys\n"
            f"open({str(self.folder / 'log')!r}, 'a').write(' '.join([{name!r}, *sys.argv[1:]]) + '\\n')\n"
            f"sys.stdout.write({output!r}); sys.stderr.write({complaint!r}); sys.exit({status})\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def run_main(self, *argv):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = compare.main([*map(str, argv)])
        return status, out.getvalue(), err.getvalue()

    def pair(self, ours=OURS, peer=PEER):
        a = self.program("ours", json.dumps(ours))
        b = self.program("peer", json.dumps(peer))
        return ["--ours", a, "--peer", f"{b} --repack 0", "-t", 2]

    def test_sequences_at_once_come_from_the_table_of_batched_bench(self):
        row = "|    16 |     64 |    8 |    640 |    0.1 |   100.00 |    0.2 |    10.00 |    0.3 |    80.00 |\n"
        ours = {**OURS, "results": [{"test": "tg64x8", "tokens_per_second": [40.0]}]}
        a, b = self.program("ours", json.dumps(ours)), self.program("peer", "| PP | TG |\n" + row)
        status, out, _ = self.run_main(self.model, "--ours", a, "--peer", b, "-b", 8, "-t", 2, "--rounds", 1)
        self.assertEqual(status, 0)
        self.assertIn("tg64x8 tok/s", out)
        self.assertIn("4.00 (4.00..4.00)", out)
        log = (self.folder / "log").read_text()
        self.assertIn("-b 8", log)
        self.assertIn("-npp 16 -ntg 64 -npl 8 -t 2", log)
        other = self.program("other", "", complaint=row)
        status, out, _ = self.run_main(self.model, "--ours", a, "--peer", other, "-b", 8, "-t", 2, "--rounds", 1)
        self.assertEqual(status, 0)
        self.assertIn("4.00 (4.00..4.00)", out)

    def test_the_depth_of_ik_is_a_prompt_before_the_clock(self):
        entry = {"n_prompt": 128, "n_gen": 64, "n_threads": 2, "avg_ts": 10.0, "test": "tg64@pp128"}
        a, b = self.program("ours", json.dumps(OURS)), self.program("peer", json.dumps([entry]))
        arguments = ["--ours", a, "--ik", b, "-p", 0, "-d", 128, "-t", 2, "--rounds", 1]
        status, out, _ = self.run_main(self.model, *arguments)
        self.assertEqual(status, 0)
        self.assertIn("tg64@d128 tok/s", out)
        self.assertIn("-gp 128,64", (self.folder / "log").read_text())

    def test_a_start_is_timed_to_the_end_of_one_token(self):
        a, b = self.program("ours", "x"), self.program("peer", "x")
        status, out, _ = self.run_main(self.model, "--ours", a, "--peer", b, "--start", "a b", "-t", 2, "--rounds", 1)
        self.assertEqual(status, 0)
        self.assertIn("seconds to the first token", out)
        log = (self.folder / "log").read_text()
        self.assertIn("--prompt a b --max-tokens 1", log)
        self.assertIn("-p a b -n 1", log)

    def test_the_busy_process_is_gone_afterwards(self):
        with compare.company(True):
            pass
        status, out, _ = self.run_main(self.model, *self.pair(), "--busy", "--rounds", 1)
        self.assertEqual(status, 0)
        self.assertIn("beside a busy process", out)

    def test_ratios_of_medians_round_by_round(self):
        status, out, _ = self.run_main(self.model, *self.pair(), "--rounds", 2)
        self.assertEqual(status, 0)
        cells = [[c.strip() for c in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| tiny")]
        self.assertEqual(cells[0][1:], ["pp512 tok/s", "200.0 (200.0..200.0)", "100.0 (100.0..100.0)", "2.00 (2.00..2.00)"])
        self.assertEqual(cells[1][1:], ["tg64 tok/s", "40.0 (40.0..40.0)", "10.0 (10.0..10.0)", "4.00 (4.00..4.00)"])
        self.assertEqual(cells[2][1], "peak memory MB")

    def test_engines_run_in_turn_with_their_own_command_lines(self):
        self.run_main(self.model, *self.pair(), "--rounds", 2, "-r", 3)
        tests = "-p 512 -n 64 -d 0 -t 2 -r 3"
        ours = f"ours bench {self.model} {tests} --json"
        peer = f"peer -m {self.model} {tests} -o json --repack 0"
        self.assertEqual((self.folder / "log").read_text().splitlines(), [ours, peer, ours, peer])

    def test_spread_and_pairing(self):
        self.assertEqual(compare.spread([3.0, 1.0, 2.0], 1), "2.0 (1.0..3.0)")
        self.assertEqual(compare.ratios([2.0, 9.0], [1.0, 3.0]), [2.0, 3.0])

    def test_depth_and_company_suffixes(self):
        for name in ("tg64", "tg64@d4096", "tg64 @ d4096", "tg64x8"):
            self.assertEqual(compare.test_key(name), "tg64")
        for name in ("", "tg", "xx5", "64"):
            self.assertRaises(compare.Failure, compare.test_key, name)

    def test_what_cannot_be_compared_is_an_error(self):
        fewer = {**OURS, "results": OURS["results"][:1]}
        for change, message in [
            (dict(ours=fewer), "tg64 is missing"),
            (dict(ours={**OURS, "threads": 8}), "8 threads where 2"),
            (dict(peer=[{**PEER[0], "n_gen": 64}]), "neither ppN nor tgN"),
            (dict(peer=[{**PEER[0], "samples_ts": [0.0]}, PEER[1]]), "not a speed"),
            (dict(ours="text"), "unexpected JSON"),
            (dict(ours={}), "unexpected JSON"),
        ]:
            with self.subTest(message=message, change=change):
                status, out, err = self.run_main(self.model, *self.pair(**change), "--rounds", 1)
                self.assertEqual((status, out), (1, ""))
                self.assertIn(message, err)

    def test_failing_program_is_reported_with_its_command(self):
        ours, peer = self.program("ours", json.dumps(OURS)), self.program("peer", "", status=3)
        status, _, err = self.run_main(self.model, "--ours", ours, "--peer", f"slow={peer}", "-t", 2)
        self.assertEqual(status, 1)
        for part in ("slow on", "exit status 3", "command:", "the reason"):
            self.assertIn(part, err)

    def test_missing_program_and_missing_model(self):
        argv = self.pair()
        status, _, err = self.run_main(self.folder / "none.gguf", *argv)
        self.assertEqual(status, 1)
        self.assertIn("none.gguf", err)
        argv[1] = self.folder / "none"
        status, _, err = self.run_main(self.model, *argv)
        self.assertEqual(status, 1)
        self.assertIn("none", err)

    def test_same_name_twice_is_refused(self):
        ours = self.program("ours", json.dumps(OURS))
        status, _, err = self.run_main(self.model, "--ours", ours, "--build", ours)
        self.assertEqual(status, 1)
        self.assertIn("NAME=PATH", err)

    def test_a_run_that_never_ends_is_ended(self):
        engine = compare.Engine("endless", (sys.executable, "-c", "while True: pass"), "torchless")
        status = compare.spawn(list(engine.command), 0.2).status
        self.assertNotEqual(status, 0)

    def test_save_keeps_every_sample(self):
        path = self.folder / "samples.json"
        self.run_main(self.model, *self.pair(), "--rounds", 2, "--save", path)
        (saved,) = json.loads(path.read_text())
        self.assertEqual(saved["engines"][0]["runs"][1]["tokens_per_second"]["pp512"], [100.0, 300.0, 200.0])


if __name__ == "__main__":
    unittest.main()
