"""The yardsticks do the work that they say, and a time beside them means what is written."""

import pytest
import torch
from benchmarks.yardstick import Yardsticks, best

from benchmarks import yardstick
from gstalker.native import library

LANES = {"avx512": 16, "avx2": 8, "generic": 4}
CHAINS = 12
built = pytest.mark.skipif(not library.available(), reason="the native kernels are not built")
every_isa = pytest.mark.parametrize("isa", library.supported_isas())


@built
@every_isa
@pytest.mark.parametrize("threads", [1, 2])
def test_the_chains_count_up(isa, threads, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    checksum, flop = yardstick.fma(1000, 1.0, 1.0, threads)
    # chain c of twelve starts at c and gains 1 a round: 0 + 1 + ... + 11 = 66
    assert checksum == threads * (66 + CHAINS * 1000)
    assert flop == 2 * CHAINS * LANES[isa] * 1000 * threads


@built
@every_isa
def test_the_chains_multiply_and_add(isa, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    # two rounds of x/2 + 1: x/4 + 3/2; over the twelve chains 66/4 + 18
    assert yardstick.fma(2, 0.5, 1.0, 1)[0] == 34.5
    assert yardstick.fma(0, 0.5, 1.0, 1) == (66.0, 0.0)


@built
@every_isa
@pytest.mark.parametrize("count", [1, 63, 100_003])
def test_reading_adds_up(isa, count, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    values = torch.arange(count, dtype=torch.float32) % 8
    wanted = sum(k % 8 for k in range(count))
    assert yardstick.read(values, 2) == (wanted, 4.0 * count)


@built
@every_isa
def test_the_triad_is_made(isa, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    b, c, out = torch.arange(40_001.0), torch.ones(40_001), torch.zeros(40_001)
    assert yardstick.triad(b, c, 0.5, out, 2) == 3 * 4.0 * 40_001
    assert torch.equal(out, torch.arange(40_001.0) + 0.5)


@built
def test_arrays_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        yardstick.triad(torch.ones(8), torch.ones(7), 1.0, torch.ones(8), 1)


@built
def test_all_yardsticks_are_taken():
    taken = yardstick.measure(2, seconds=0, rounds=100, stream_bytes=4096)
    assert taken.threads == 2
    assert min(v for k, v in taken.as_dict().items() if k != "drift") > 0


def test_room_is_time_times_peak(sticks):
    assert sticks.room_mflop(4.0) == 720.0  # 4 ms x 180 GFLOP/s
    assert sticks.room_mflop(4.0, threads=1) == 400.0
    assert sticks.room_mflop(None) is None
    assert sticks.room_mb(4.0) == 4.0 * sticks.read_gb_s  # 1 ms x 1 GB/s is 1 MB
    assert sticks.room_mb(None) is None


def test_the_peak_grows_evenly_from_one_thread_to_all():
    four = Yardsticks(4, 100.0, 310.0, 1.0, 1.0)
    assert [four.peak_gflops(n) for n in (1, 2, 3, 4, None)] == [100, 170, 240, 310, 310]


def test_the_better_of_two_takes_counts_and_their_difference_is_told():
    first, second = Yardsticks(2, 90, 180, 40, 60), Yardsticks(2, 100, 160, 40, 45)
    assert best(first, second) == Yardsticks(2, 100, 180, 40, 60, drift=0.25)


@pytest.mark.parametrize(
    ("text", "wanted"), [("49152K\n", 256 << 20), ("131072K\n", 512 << 20), ("none", 256 << 20)]
)
def test_the_streamed_array_is_much_larger_than_the_last_cache(tmp_path, text, wanted):
    cache = tmp_path / "size"
    cache.write_text(text)
    assert yardstick._stream_bytes(cache) == wanted
