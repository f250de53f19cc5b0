// Which Gaussian meets which tile, in order of depth.
//
// Pairs are made chunk by chunk in the order of the Gaussians' numbers, copied into their tiles'
// lists in that order, and each list is sorted by whoever draws the tile: no step but the layout is
// serial, and no thread waits for another between the first pair and the last.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "raster.h"
#include "simd.h"

namespace gst {
namespace {

alignas(64) const float kStrips[16] = {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60};

// Sixteen strips of four pixel rows, two rows of tiles, and the pixels from which to which the
// ellipse touches each. Over a strip it reaches farthest right at the strip's row nearest to its
// rightmost point, and likewise left. (left, top) is the centre of the first tile's first pixel.
struct Strips {
  M16 hit;
  F16 first, last;  // whole numbers, pixels from `left`
  Strips(const Projected& p, float left, float top) {
    const F16 d0 = load(kStrips) + set(top - p.y), d1 = d0 + set((float)(kBlock - 1));
    const F16 slope = set(p.slope), reach = set(p.reach), bend = set(p.bend), zero = set(0.f);
    const F16 at_right = min(max(set(p.dy_at_right), d0), d1), at_left = min(max(set(-p.dy_at_right), d0), d1);
    const F16 offset = set(p.x - left);
    const F16 right = fma(slope, at_right, sqrt(max(fnma(bend * at_right, at_right, reach), zero))) + offset;
    const F16 leftmost = fma(slope, at_left, zero - sqrt(max(fnma(bend * at_left, at_left, reach), zero))) + offset;
    // Rounding grows with the numbers; a block too many costs little, a block too few is a hole.
    const F16 room = fma(set(1e-5f), abs(right) + abs(leftmost), set(1e-3f));
    first = zero - floor(room - leftmost);
    last = floor(right + room);
    hit = at_least(at_least(at_least(last, first), set(p.half_y), d0), d1, set(-p.half_y));
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

}  // namespace

void pair_with_tiles(Workspace& ws, int chunk) {
  const int start = chunk * kChunk, end = chunk_end(ws.count, chunk), tiles = ws.tiles();
  const TileRange* ranges = ws.ranges.get();
  ChunkPairs& mine = ws.chunk_pairs[chunk];
  const uint64_t most = most_pairs(ranges + start, end - start);
  if (most > kMostPairs) throw std::bad_alloc();
  Pair* pairs = mine.pairs.reserve(most);
  uint32_t* tile_of = mine.tile.reserve(most);
  int* tile_counts = mine.tile_counts.reserve((size_t)tiles);
  std::memset(tile_counts, 0, sizeof(int) * (size_t)tiles);
  uint32_t count = 0;
  const auto meet = [&](uint64_t blocks, int tile, int gaussian) {
    if (!blocks) return;
    pairs[count] = {blocks, (uint32_t)gaussian, count};
    tile_of[count++] = (uint32_t)tile;
    tile_counts[tile]++;
  };
  const F16 zero = set(0.f), most_block = set((float)(kBlocksAcross - 1)), quarter = set(1.f / kBlock);
  for (int i = start; i < end; i++) {
    const TileRange r = ranges[i];
    const uint32_t before = count;
    for (int ty = r.y0; ty <= r.y1 && r.x0 <= r.x1; ty += 2) {
      const Strips strips(ws.projected.get()[i], r.x0 * kTile + 0.5f, ty * kTile + 0.5f);
      const F16 first_block = floor(strips.first * quarter), last_block = floor(strips.last * quarter);
      for (int tx = r.x0; tx <= r.x1; tx++) {
        const F16 passed = set((float)((tx - r.x0) * kBlocksAcross));
        const F16 first = max(first_block - passed, zero), last = min(last_block - passed, most_block);
        const Bytes16 blocks = bit_runs(at_least(strips.hit, last, first), first, last);
        meet(blocks.low, ty * ws.tiles_x + tx, i);
        if (ty < r.y1) meet(blocks.high, (ty + 1) * ws.tiles_x + tx, i);
      }
    }
    ws.first_slot.get()[i] = before;
    ws.slots.get()[i] = count - before;
  }
  mine.count = count;
}

void lay_out_tiles(Workspace& ws) {
  const int tiles = ws.tiles(), n = chunks(ws.count);
  uint64_t total = 0;
  for (int t = 0; t < n; t++) {
    ws.chunk_pairs[t].first_slot = (uint32_t)total;
    total += ws.chunk_pairs[t].count;
  }
  if (total > kMostPairs) throw std::bad_alloc();
  ws.slot_count = total;
  int* tile_first = ws.tile_first.reserve((size_t)tiles + 1);
  int place = 0;
  for (int tile = 0; tile < tiles; tile++) {
    tile_first[tile] = place;
    for (int t = 0; t < n; t++) {
      int& counted = ws.chunk_pairs[t].tile_counts.get()[tile];
      const int size = counted;
      counted = place;
      place += size;
    }
  }
  tile_first[tiles] = place;
  int* order = ws.tile_order.reserve((size_t)tiles);
  for (int tile = 0; tile < tiles; tile++) order[tile] = tile;
  std::sort(order, order + tiles, [&](int a, int b) {
    const int size_a = tile_first[a + 1] - tile_first[a], size_b = tile_first[b + 1] - tile_first[b];
    return size_a != size_b ? size_a > size_b : a < b;
  });
  ws.unsorted.reserve(total), ws.depth_bits.reserve(total);
  ws.sort_a.reserve(total), ws.sort_b.reserve(total);
  Pair* pairs = ws.pairs.reserve(total + kLanes);  // the blender prefetches beyond the end
  std::memset(static_cast<void*>(pairs + total), 0, sizeof(Pair) * kLanes);
}

void scatter_to_tiles(Workspace& ws, int chunk) {
  ChunkPairs& mine = ws.chunk_pairs[chunk];
  const Projected* projected = ws.projected.get();
  const Pair* pairs = mine.pairs.get();
  const uint32_t* tile_of = mine.tile.get();
  int* place = mine.tile_counts.get();
  Pair* out = ws.unsorted.get();
  uint32_t* depth_bits = ws.depth_bits.get();
  const uint32_t base = mine.first_slot;
  for (uint32_t k = 0; k < mine.count; k++) {
    const Pair p = pairs[k];
    const int to = place[tile_of[k]]++;
    out[to] = {p.blocks, p.gaussian, p.slot + base};
    std::memcpy(&depth_bits[to], &projected[p.gaussian].depth, 4);
  }
  for (int i = chunk * kChunk, end = chunk_end(ws.count, chunk); i < end; i++) ws.first_slot.get()[i] += base;
}

// Least significant digit first, on the depth's bits (positive floats sort as their bits do) less the
// nearest one's, so that the digits of a usual tile fit three passes. Stable: equal depths stay in
// the order of their numbers.
void sort_tile(Workspace& ws, int tile) {
  constexpr int kDigit = 8, kBins = 1 << kDigit, kPasses = 32 / kDigit;
  const int first = ws.tile_first.get()[tile], count = ws.tile_first.get()[tile + 1] - first;
  const uint32_t* depth_bits = ws.depth_bits.get() + first;
  uint64_t *from = ws.sort_a.get() + first, *to = ws.sort_b.get() + first;
  uint32_t nearest = ~0u, farthest = 0;
  for (int i = 0; i < count; i++) {
    nearest = std::min(nearest, depth_bits[i]);
    farthest = std::max(farthest, depth_bits[i]);
  }
  uint32_t bins[kPasses][kBins];
  int passes = 0;
  while (passes < kPasses && (farthest - nearest) >> (kDigit * passes)) passes++;
  std::memset(bins, 0, sizeof bins[0] * (size_t)passes);
  for (int i = 0; i < count; i++) {
    const uint32_t key = depth_bits[i] - nearest;
    from[i] = (uint64_t)key << 32 | (uint32_t)i;
    for (int p = 0; p < passes; p++) bins[p][key >> (kDigit * p) & (kBins - 1)]++;
  }
  for (int p = 0; p < passes; p++) {
    uint32_t start = 0;
    for (uint32_t& bin : bins[p]) { const uint32_t size = bin; bin = start; start += size; }
    for (int i = 0; i < count; i++) to[bins[p][from[i] >> (32 + kDigit * p) & (kBins - 1)]++] = from[i];
    std::swap(from, to);
  }
  const Pair* unsorted = ws.unsorted.get() + first;
  Pair* out = ws.pairs.get() + first;
  for (int i = 0; i < count; i++) out[i] = unsorted[(uint32_t)from[i]];
}

}  // namespace gst
