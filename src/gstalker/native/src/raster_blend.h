// What both ways through a tile's list share: where blocks lie, and a Gaussian against a block.
#pragma once
#include "raster.h"
#include "raster_pixels.h"
#include "simd.h"

namespace gst {

alignas(64) constexpr float kLaneX[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
alignas(64) constexpr float kLaneY[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
// Multiples of a block's side: read from memory, a broadcast costs nothing; a conversion would.
constexpr float kSteps[kBlocksAcross] = {0, 4, 8, 12, 16, 20, 24, 28};

struct Origin { int x, y; };
inline Origin tile_origin(const Workspace& ws, int tile) {
  return {tile % ws.tiles_x * kTile, tile / ws.tiles_x * kTile};
}
inline Origin block_origin(Origin tile, int block) {
  return {tile.x + (block % kBlocksAcross) * kBlock, tile.y + (block / kBlocksAcross) * kBlock};
}

// The blocks of a tile that have a pixel in the picture.
inline uint64_t blocks_inside(const Workspace& ws, Origin tile) {
  uint64_t inside = 0;
  for (int block = 0; block < kBlocks; block++) {
    const Origin at = block_origin(tile, block);
    if (at.x < ws.width && at.y < ws.height) inside |= 1ull << block;
  }
  return inside;
}

// A Gaussian's numbers, broadcast, and the offsets of a tile's first block from its centre.
struct Broadcast {
  F16 a, b, c, log2_opacity, red, green, blue, x, y;
  Broadcast(const Projected& p, Origin tile)
      : a(set(p.a)), b(set(p.b)), c(set(p.c)), log2_opacity(set(p.log2_opacity)), red(set(p.red)),
        green(set(p.green)), blue(set(p.blue)), x(load(kLaneX) + set(tile.x + 0.5f - p.x)),
        y(load(kLaneY) + set(tile.y + 0.5f - p.y)) {}
  F16 dx(int block) const { return x + set(kSteps[block % kBlocksAcross]); }
  F16 dy(int block) const { return y + set(kSteps[block / kBlocksAcross]); }
  F16 log2_alpha(F16 dx, F16 dy) const { return fma(dx, fma(a, dx, b * dy), fma(c * dy, dy, log2_opacity)); }
};

}  // namespace gst
