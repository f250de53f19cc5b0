// Which Gaussian meets which tile, in order of depth.
//
// Gaussians are sorted once; their pairs are made in id order (so threads write to their own
// ranges) and then scattered into the tiles' lists in depth order. No per-pair sort.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "raster.h"

namespace gst {
namespace {

constexpr int kRadixBits = 12, kRadix = 1 << kRadixBits, kPasses = 3;

struct TileRange { int x0, x1, y0, y1; };  // inclusive

inline int clamped_floor(float x, int most) {  // of a float that may be far outside of an int
  return (int)std::floor(std::min(std::max(x, -1.f), (float)most + 1.f));
}

inline TileRange tile_range(const Workspace& ws, const Projected& p) {
  constexpr float scale = 1.f / kTile;
  return {std::max(0, clamped_floor((p.x - p.half_x) * scale, ws.tiles_x)),
          std::min(ws.tiles_x - 1, clamped_floor((p.x + p.half_x) * scale, ws.tiles_x)),
          std::max(0, clamped_floor((p.y - p.half_y) * scale, ws.tiles_y)),
          std::min(ws.tiles_y - 1, clamped_floor((p.y + p.half_y) * scale, ws.tiles_y))};
}

// As the processor does it; std::min and std::max return references, which keep loops scalar.
inline float least(float a, float b) { return a < b ? a : b; }
inline float most(float a, float b) { return a > b ? a : b; }

// The blocks of a tile that the ellipse touches, row of blocks by row of blocks: over a strip of
// four pixel rows the ellipse reaches farthest right at the strip's row nearest to its rightmost
// point, and likewise left. (left, top) is the centre of the tile's first pixel.
inline uint64_t touched_blocks(const Projected& p, float left, float top) {
  alignas(64) int32_t bits[kBlocksAcross];
  const float offset = p.x - left, half_y = p.half_y, slope = p.slope, reach = p.reach, bend = p.bend;
  const float dy_at_right = p.dy_at_right, first_row = top - p.y;
#pragma omp simd
  for (int row = 0; row < kBlocksAcross; row++) {
    const float d0 = first_row + (float)(kBlock * row), d1 = d0 + (float)(kBlock - 1);
    const float at_right = least(most(dy_at_right, d0), d1), at_left = least(most(-dy_at_right, d0), d1);
    const float right = slope * at_right + std::sqrt(most(reach - bend * at_right * at_right, 0.f)) + offset;
    const float leftmost = slope * at_left - std::sqrt(most(reach - bend * at_left * at_left, 0.f)) + offset;
    // Rounding grows with the numbers; a block too many costs little, a block too few is a hole.
    const float room = 1e-3f + 1e-5f * (std::fabs(right) + std::fabs(leftmost));
    // Clamped, then shifted to be positive: truncation is floor there, and cheaper.
    const int c0 = kTile - (int)((float)kTile - least(most(leftmost - room, -4.f), (float)kTile));
    const int c1 = (int)(least(most(right + room, -4.f), (float)kTile - 1.f) + 4.f) - 4;
    const int b0 = (c0 > 0 ? c0 : 0) / kBlock, b1 = (c1 > 0 ? c1 : 0) / kBlock;
    const int hit = (d0 <= half_y) & (d1 >= -half_y) & (c0 <= c1) & (c1 >= 0);
    bits[row] = ((2 << b1) - (1 << b0)) & -hit;
  }
  uint64_t all = 0;
  for (int row = 0; row < kBlocksAcross; row++) all |= (uint64_t)(uint32_t)bits[row] << (8 * row);
  return all;
}

uint32_t most_pairs(const Workspace& ws, int first, int last) {
  uint32_t total = 0;
  for (int i = first; i < last; i++) {
    const Projected& p = ws.projected.get()[i];
    if (p.half_y < 0) continue;
    const TileRange r = tile_range(ws, p);
    total += (uint32_t)(std::max(0, r.x1 - r.x0 + 1) * std::max(0, r.y1 - r.y0 + 1));
  }
  return total;
}

void emit(Workspace& ws, int first, int last, uint32_t slot) {
  Pair* pairs = ws.emitted.get();
  uint32_t* tiles = ws.emitted_tile.get();
  for (int i = first; i < last; i++) {
    const Projected& p = ws.projected.get()[i];
    const uint32_t start = slot;
    if (p.half_y >= 0) {
      const TileRange r = tile_range(ws, p);
      for (int ty = r.y0; ty <= r.y1; ty++)
        for (int tx = r.x0; tx <= r.x1; tx++) {
          const uint64_t blocks = touched_blocks(p, tx * kTile + 0.5f, ty * kTile + 0.5f);
          if (!blocks) continue;
          pairs[slot] = {blocks, (uint32_t)i, slot};
          tiles[slot++] = (uint32_t)(ty * ws.tiles_x + tx);
        }
    }
    ws.first_slot.get()[i] = start;
    ws.slots.get()[i] = slot - start;
  }
}

// Least significant digit first, on the depth's bits less the nearest one's, so that the digits of
// a usual scene fit two passes. The unseen go last.
void sort_by_depth(Workspace& ws) {
  const int count = ws.count;
  uint32_t *key = ws.key.get(), *other = ws.key_other.get();
  uint32_t least = kUnseen, most = 0;
  for (int i = 0; i < count; i++) {
    least = std::min(least, key[i]);
    if (key[i] != kUnseen) most = std::max(most, key[i]);
  }
  const uint32_t last = most >= least ? most - least + 1 : 0;
  const int bits = last ? 32 - __builtin_clz(last) : 1, passes = (bits + kRadixBits - 1) / kRadixBits;
  static thread_local uint32_t histogram[kPasses][kRadix];
  std::memset(histogram, 0, sizeof histogram[0] * (size_t)passes);
  for (int i = 0; i < count; i++) {
    key[i] = key[i] == kUnseen ? last : key[i] - least;
    for (int p = 0; p < passes; p++) histogram[p][(key[i] >> (kRadixBits * p)) & (kRadix - 1)]++;
  }
  const uint32_t* from = nullptr;
  uint32_t* to = ws.order_a.get();
  for (int p = 0; p < passes; p++) {
    uint32_t start = 0;
    for (uint32_t& bin : histogram[p]) { const uint32_t size = bin; bin = start; start += size; }
    for (int i = 0; i < count; i++) {
      const uint32_t k = key[i], place = histogram[p][(k >> (kRadixBits * p)) & (kRadix - 1)]++;
      other[place] = k;
      to[place] = from ? from[i] : (uint32_t)i;
    }
    std::swap(key, other);
    from = to;
    to = to == ws.order_a.get() ? ws.order_b.get() : ws.order_a.get();
  }
  ws.order = from;
}

// Counting sort of the pairs by tile, in depth order within a tile.
void scatter_to_tiles(Workspace& ws, int threads) {
  const int tiles = ws.tiles(), count = ws.count;
  const int part = std::max(4096, (count + threads * 2 - 1) / (threads * 2)), parts = (count + part - 1) / part;
  const uint32_t *order = ws.order, *first = ws.first_slot.get(), *slots = ws.slots.get();
  const uint32_t* tile_of = ws.emitted_tile.get();
  const Pair* emitted = ws.emitted.get();
  int* counts = ws.tile_counts.reserve((size_t)tiles * std::max(parts, 1));
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int t = 0; t < parts; t++) {
    int* mine = counts + (size_t)t * tiles;
    std::memset(mine, 0, sizeof(int) * (size_t)tiles);
    for (int k = t * part, end = std::min(count, k + part); k < end; k++) {
      if (k + 16 < end) __builtin_prefetch(&tile_of[first[order[k + 16]]]);
      for (uint32_t s = first[order[k]], stop = s + slots[order[k]]; s < stop; s++) mine[tile_of[s]]++;
    }
  }
  int* tile_first = ws.tile_first.reserve((size_t)tiles + 1);
  int total = 0;
  for (int tile = 0; tile < tiles; tile++) {
    tile_first[tile] = total;
    for (int t = 0; t < parts; t++) {
      int& n = counts[(size_t)t * tiles + tile];
      const int size = n;
      n = total;
      total += size;
    }
  }
  tile_first[tiles] = total;
  Pair* out = ws.pairs.reserve((size_t)total + kLanes);  // the blender prefetches beyond the end
  std::memset(static_cast<void*>(out + total), 0, sizeof(Pair) * kLanes);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int t = 0; t < parts; t++) {
    int* place = counts + (size_t)t * tiles;
    for (int k = t * part, end = std::min(count, k + part); k < end; k++) {
      if (k + 16 < end) __builtin_prefetch(&emitted[first[order[k + 16]]]);
      for (uint32_t s = first[order[k]], stop = s + slots[order[k]]; s < stop; s++)
        out[place[tile_of[s]]++] = emitted[s];
    }
  }
}

}  // namespace

void sort_and_tile(Workspace& ws, int threads) {
  const int count = ws.count, n = chunks(count);
  uint32_t* start = ws.chunk_pairs.reserve((size_t)n + 1);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int t = 0; t < n; t++) start[t] = most_pairs(ws, t * kChunk, std::min(count, (t + 1) * kChunk));
  uint64_t total = 0;
  for (int t = 0; t < n; t++) {
    const uint32_t size = start[t];
    start[t] = (uint32_t)total;
    total += size;
  }
  if (total > 0x7fffff00u) throw std::bad_alloc();  // pairs are counted in 32 bits
  ws.slot_count = total;
  ws.emitted.reserve(total + kLanes);
  ws.emitted_tile.reserve(total + kLanes);
  // The sort is serial; as one more task it runs beside the emission.
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int t = -1; t < n; t++) {
    if (t < 0) sort_by_depth(ws);
    else emit(ws, t * kChunk, std::min(count, (t + 1) * kChunk), start[t]);
  }
  scatter_to_tiles(ws, threads);
}

}  // namespace gst
