// Which Gaussian meets which tile, in order of depth.
//
// Pairs are made chunk by chunk in the order of the Gaussians' numbers, their slots are listed by
// tile in that order, and each list is sorted by whoever draws the tile. Only the counting up of
// room and places is serial.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "raster.h"
#include "simd.h"

namespace gst {
namespace {

alignas(64) const float kStrips[16] = {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60};

// Sixteen strips of four pixel rows, two rows of tiles, and the blocks from which to which the
// ellipse touches each. Over a strip it reaches farthest right at the strip's row nearest to its
// rightmost point, and likewise left. (left, top) is the centre of the first tile's first pixel.
struct Strips {
  M16 hit;
  F16 first, last;  // blocks of a strip, whole numbers; the tile's first block is 0
  Strips(const Projected& p, float left, float top) {
    const F16 d0 = load(kStrips) + set(top - p.y), d1 = d0 + set((float)(kBlock - 1));
    const F16 slope = set(p.slope), reach = set(p.reach), bend = set(p.bend), zero = set(0.f);
    const F16 at_right = min(max(set(p.dy_at_right), d0), d1), at_left = min(max(set(-p.dy_at_right), d0), d1);
    const F16 offset = set(p.x - left);
    const F16 right = fma(slope, at_right, offset) + sqrt(max(fnma(bend * at_right, at_right, reach), zero));
    const F16 leftmost = fma(slope, at_left, offset) - sqrt(max(fnma(bend * at_left, at_left, reach), zero));
    // Rounding grows with the numbers; a block too many costs little, a block too few is a hole.
    const F16 room = fma(set(1e-5f), abs(right) + abs(leftmost), set(1e-3f)), per_block = set(1.f / kBlock);
    // A block counts from its first pixel on the right, but from its last one on the left.
    first = floor((leftmost - room + set(1.f)) * per_block);
    last = floor((right + room) * per_block);
    hit = at_least(at_least(set(p.half_y), d0), d1, set(-p.half_y));
  }
};

uint64_t most_pairs(const TileRange* ranges, int count) {
  uint64_t total = 0;
  for (int i = 0; i < count; i++) {
    const TileRange r = ranges[i];
    const int across = r.x1 - r.x0 + 1, down = r.y1 - r.y0 + 1;
    total += across > 0 && down > 0 ? (uint64_t)across * (uint64_t)down : 0;
  }
  return total;
}

// Counters of one chunk; a row of tiles more, where empty pairs below the picture are counted.
inline size_t counters(const Workspace& ws) { return (size_t)ws.tiles() + (size_t)ws.tiles_x; }

}  // namespace

void make_room_for_pairs(Workspace& ws) {
  const int n = chunks(ws.count);
  uint32_t* first = ws.chunk_first.reserve((size_t)n + 1);
  ws.chunk_last.reserve((size_t)n);
  uint64_t total = 0;
  for (int t = 0; t < n; t++) {
    first[t] = (uint32_t)total;
    total += most_pairs(ws.ranges.get() + t * kChunk, chunk_end(ws.count, t) - t * kChunk) + 1;
    if (total > kMostPairs) throw std::bad_alloc();
  }
  ws.slot_count = total;
  ws.pairs.reserve(total + 1), ws.pair_tile.reserve(total + 1), ws.pair_depth.reserve(total + 1);
  ws.unsorted.reserve(total), ws.sorting.reserve(total), ws.listed.reserve(total);
  ws.chunk_tiles.reserve((size_t)n * counters(ws));
  ws.tile_first.reserve((size_t)ws.tiles() + 1), ws.tile_order.reserve((size_t)ws.tiles());
}

void pair_with_tiles(Workspace& ws, int chunk) {
  const TileRange* ranges = ws.ranges.get();
  Pair* pairs = ws.pairs.get();
  uint32_t *pair_tile = ws.pair_tile.get(), *pair_depth = ws.pair_depth.get();
  int* tile_counts = ws.chunk_tiles.get() + (size_t)chunk * counters(ws);
  std::memset(tile_counts, 0, sizeof(int) * counters(ws));
  uint32_t slot = ws.chunk_first.get()[chunk];
  // Written in any case and counted if there are blocks: nobody could predict the branch.
  const auto meet = [&](uint64_t blocks, int tile, int gaussian, uint32_t depth_bits) {
    pairs[slot] = {blocks, (uint32_t)gaussian, slot};
    pair_tile[slot] = (uint32_t)tile, pair_depth[slot] = depth_bits;
    slot += blocks != 0;
    tile_counts[tile] += blocks != 0;
  };
  const F16 zero = set(0.f), most_block = set((float)(kBlocksAcross - 1));
  for (int i = chunk * kChunk, end = chunk_end(ws.count, chunk); i < end; i++) {
    const TileRange r = ranges[i];
    const Projected& p = ws.projected.get()[i];
    const uint32_t before = slot;
    uint32_t depth_bits;
    std::memcpy(&depth_bits, &p.depth, 4);
    for (int ty = r.y0; ty <= r.y1 && r.x0 <= r.x1; ty += 2) {
      const Strips strips(p, r.x0 * kTile + 0.5f, ty * kTile + 0.5f);
      const uint64_t second_row = ty < r.y1 ? ~0ull : 0;
      for (int tx = r.x0, tile = ty * ws.tiles_x + tx; tx <= r.x1; tx++, tile++) {
        const F16 passed = set((float)((tx - r.x0) * kBlocksAcross));
        const F16 first = max(strips.first - passed, zero), last = min(strips.last - passed, most_block);
        const Bytes16 blocks = bit_runs(at_least(strips.hit, last, first), first, last);
        meet(blocks.low, tile, i, depth_bits);
        meet(blocks.high & second_row, tile + ws.tiles_x, i, depth_bits);
      }
    }
    ws.first_slot.get()[i] = before;
    ws.slots.get()[i] = slot - before;
  }
  ws.chunk_last.get()[chunk] = slot;
}

void lay_out_tiles(Workspace& ws) {
  const int tiles = ws.tiles(), n = chunks(ws.count);
  int *tile_first = ws.tile_first.get(), *order = ws.tile_order.get();
  int place = 0;
  for (int tile = 0; tile < tiles; tile++) {
    tile_first[tile] = place;
    order[tile] = tile;
    for (int t = 0; t < n; t++) {
      int& counted = ws.chunk_tiles.get()[(size_t)t * counters(ws) + (size_t)tile];
      const int size = counted;
      counted = place;
      place += size;
    }
  }
  tile_first[tiles] = place;
  std::sort(order, order + tiles, [&](int a, int b) {
    const int length_a = tile_first[a + 1] - tile_first[a], length_b = tile_first[b + 1] - tile_first[b];
    return length_a != length_b ? length_a > length_b : a < b;
  });
}

void scatter_to_tiles(Workspace& ws, int chunk) {
  const uint32_t *pair_tile = ws.pair_tile.get(), *pair_depth = ws.pair_depth.get();
  int* place = ws.chunk_tiles.get() + (size_t)chunk * counters(ws);
  uint64_t* out = ws.unsorted.get();
  for (uint32_t slot = ws.chunk_first.get()[chunk], last = ws.chunk_last.get()[chunk]; slot < last; slot++)
    out[place[pair_tile[slot]]++] = (uint64_t)pair_depth[slot] << 32 | slot;
}

// Least significant digit first, on the depth's bits (positive floats sort as their bits do) less the
// nearest one's, so that the digits of a usual tile fit three passes. Stable: equal depths stay in
// the order of their numbers.
void sort_tile(Workspace& ws, int tile) {
  constexpr int kDigit = 8, kBins = 1 << kDigit, kPasses = 32 / kDigit;
  const int first = ws.tile_first.get()[tile], count = ws.tile_first.get()[tile + 1] - first;
  const Pair* pairs = ws.pairs.get();
  uint64_t *from = ws.unsorted.get() + first, *to = ws.sorting.get() + first;
  uint32_t nearest = ~0u, farthest = 0;
  for (int i = 0; i < count; i++) {
    nearest = std::min(nearest, (uint32_t)(from[i] >> 32));
    farthest = std::max(farthest, (uint32_t)(from[i] >> 32));
  }
  int passes = 0;
  while (passes < kPasses && farthest > nearest && (farthest - nearest) >> (kDigit * passes)) passes++;
  uint32_t bins[kPasses][kBins];
  std::memset(bins, 0, sizeof bins[0] * (size_t)passes);
  for (int i = 0; i < count; i++) {
    __builtin_prefetch(&pairs[(uint32_t)from[i]]);
    const uint32_t key = (uint32_t)(from[i] >> 32) - nearest;
    from[i] = (uint64_t)key << 32 | (uint32_t)from[i];
    for (int p = 0; p < passes; p++) bins[p][key >> (kDigit * p) & (kBins - 1)]++;
  }
  for (int p = 0; p < passes; p++) {
    uint32_t start = 0;
    for (uint32_t& bin : bins[p]) { const uint32_t size = bin; bin = start; start += size; }
    for (int i = 0; i < count; i++) to[bins[p][from[i] >> (32 + kDigit * p) & (kBins - 1)]++] = from[i];
    std::swap(from, to);
  }
  Pair* out = ws.listed.get() + first;
  for (int i = 0; i < count; i++) out[i] = pairs[(uint32_t)from[i]];
}

}  // namespace gst
