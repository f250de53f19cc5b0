// What both ways through a tile's list share: where blocks lie, and a Gaussian against a block.
#pragma once
#include "raster.h"
#include "raster_pixels.h"
#include "simd.h"

namespace gst {

alignas(64) constexpr float kLaneX[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
alignas(64) constexpr float kLaneY[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
// Blocks' distances from the tile's middle: read from memory, a broadcast costs nothing; a conversion
// would.
constexpr float kSteps[kBlocksAcross] = {-16, -12, -8, -4, 0, 4, 8, 12};

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

// A Gaussian's numbers, broadcast, and its coordinates in the block at a tile's middle.
struct Broadcast {
  F16 across, shear, down, log2_opacity, red, green, blue, u_middle, v_middle;
  Broadcast(const Projected& p, Origin tile)
      : across(set(p.across)), shear(set(p.shear)), down(set(p.down)), log2_opacity(set(p.log2_opacity)),
        red(set(p.red)), green(set(p.green)), blue(set(p.blue)) {
    const F16 dx = load(kLaneX) + set(tile.x + (kTile / 2 + 0.5f) - p.x);
    const F16 dy = load(kLaneY) + set(tile.y + (kTile / 2 + 0.5f) - p.y);
    u_middle = fma(across, dx, shear * dy);
    v_middle = down * dy;
  }
  F16 u(int block) const {
    return fma(across, set(kSteps[block % kBlocksAcross]), fma(shear, set(kSteps[block / kBlocksAcross]), u_middle));
  }
  F16 v(int block) const { return fma(down, set(kSteps[block / kBlocksAcross]), v_middle); }
  F16 log2_alpha(F16 u, F16 v) const { return fnma(u, u, fnma(v, v, log2_opacity)); }
};

}  // namespace gst
