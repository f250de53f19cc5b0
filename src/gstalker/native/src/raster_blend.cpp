// Pixels from a tile's list of Gaussians, front to back, and gradients from pixels, back to front.
//
// A block's sixteen pixels are one vector. A pixel that has grown too dark is finished: its
// transmittance is kept negated, and the pair that finished it is noted, which is where the way
// back begins.
#include <algorithm>
#include <cstring>

#include "raster.h"
#include "simd.h"

namespace gst {
namespace {

alignas(64) const float kLaneX[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
alignas(64) const float kLaneY[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};

struct Origin { int x, y; };
inline Origin tile_origin(const Workspace& ws, int tile) {
  return {tile % ws.tiles_x * kTile, tile / ws.tiles_x * kTile};
}
inline Origin block_origin(Origin tile, int block) {
  return {tile.x + (block % kBlocksAcross) * kBlock, tile.y + (block / kBlocksAcross) * kBlock};
}

// A Gaussian's numbers, broadcast, and the offsets of a tile's first block from its centre.
struct Broadcast {
  F16 a, b, c, log2_opacity, red, green, blue, x, y;
  Broadcast(const Projected& p, Origin tile)
      : a(set(p.a)), b(set(p.b)), c(set(p.c)), log2_opacity(set(p.log2_opacity)), red(set(p.red)),
        green(set(p.green)), blue(set(p.blue)), x(load(kLaneX) + set(tile.x + 0.5f - p.x)),
        y(load(kLaneY) + set(tile.y + 0.5f - p.y)) {}
  F16 dx(int block) const { return x + set((float)(block % kBlocksAcross * kBlock)); }
  F16 dy(int block) const { return y + set((float)(block / kBlocksAcross * kBlock)); }
  F16 log2_alpha(F16 dx, F16 dy) const { return fma(dx, fma(a, dx, b * dy), fma(c * dy, dy, log2_opacity)); }
};

template <bool kKeepState> void blend(Workspace& ws, int tile, const Canvas& canvas) {
  const Projected* projected = ws.projected.get();
  const Pair* pairs = ws.pairs.get();
  const int first = ws.tile_first.get()[tile], last = ws.tile_first.get()[tile + 1];
  const Origin origin = tile_origin(ws, tile);
  alignas(64) float state[kBlocks][4][16];  // transmittance, red, green, blue
  alignas(64) int death[kBlocks][16];
  for (auto& block : state) {
    store(block[0], set(1.f));
    for (int k = 1; k < 4; k++) store(block[k], set(0.f));
  }
  if (kKeepState) std::fill(&death[0][0], &death[0][0] + kTilePixels, kNever);
  const F16 cutoff = set(kLog2AlphaLeast), darkest = set(kTransmittanceLeast), most = set(kAlphaMost), zero = set(0.f);
  uint64_t alive = ~0ull;
  for (int k = first; k < last && alive; k++) {
    __builtin_prefetch(&projected[pairs[k + 8].gaussian]);
    uint64_t blocks = pairs[k].blocks & alive;
    if (!blocks) continue;
    const Broadcast g(projected[pairs[k].gaussian], origin);
    do {
      const int block = __builtin_ctzll(blocks);
      blocks &= blocks - 1;
      const F16 dx = g.dx(block), dy = g.dy(block), power = g.log2_alpha(dx, dy);
      float* s = state[block][0];
      const F16 T = load(s);
      const M16 touched = both(at_least(T, zero), at_least(power, cutoff));
      const F16 a = min(exp2(power), most), T_next = fnma(a, T, T);
      const M16 go = both(touched, at_least(T_next, darkest));
      const F16 weight = where(go, a * T);
      store(s, select(go, T_next, T));
      store(s + 16, fma(weight, g.red, load(s + 16)));
      store(s + 32, fma(weight, g.green, load(s + 32)));
      store(s + 48, fma(weight, g.blue, load(s + 48)));
      const M16 died = differ(touched, go);
      if (__builtin_expect(any(died), 0)) {
        const F16 marked = negate_where(died, load(s));
        store(s, marked);
        if (kKeepState) store_where(death[block], died, k);
        if (!any(at_least(marked, zero))) alive &= ~(1ull << block);
      }
    } while (blocks);
  }
  for (int block = 0; block < kBlocks; block++) {
    store(state[block][0], abs(load(state[block][0])));
    const Origin at = block_origin(origin, block);
    for (int j = 0; j < kBlock && at.y + j < ws.height; j++)
      for (int i = 0; i < kBlock && at.x + i < ws.width; i++) {
        const size_t pixel = (size_t)(at.y + j) * ws.width + at.x + i;
        const int lane = kBlock * j + i;
        const float T = state[block][0][lane];
        for (int c = 0; c < 3; c++) {
          const float behind = canvas.background ? canvas.background[3 * pixel + c] : 0.f;
          canvas.image[3 * pixel + c] = state[block][1 + c][lane] + T * behind;
        }
        canvas.alpha[pixel] = 1.f - T;
      }
  }
  if (kKeepState) {
    float* T = ws.transmittance.get() + (size_t)tile * kTilePixels;
    for (int block = 0; block < kBlocks; block++) std::memcpy(T + 16 * block, state[block][0], 64);
    std::memcpy(ws.death.get() + (size_t)tile * kTilePixels, death, sizeof death);
  }
}

// What the way back carries per pixel. `behind` is sum over the Gaussians behind of weight *
// (colour . g_image), and T_end * (background . g_image - g_alpha) for what shines through them all:
// dL/dalpha_i = T_i (colour_i . g_image) - behind / (1 - alpha_i).
enum { kT, kBehind, kGRed, kGGreen, kGBlue, kStates };

}  // namespace

void blend_tile(Workspace& ws, int tile, const Canvas& canvas) {
  if (ws.keeps_state) blend<true>(ws, tile, canvas);
  else blend<false>(ws, tile, canvas);
}

void blend_tile_backward(Workspace& ws, int tile, const Pull& pull) {
  const Projected* projected = ws.projected.get();
  const Pair* pairs = ws.pairs.get();
  const int first = ws.tile_first.get()[tile], last = ws.tile_first.get()[tile + 1];
  if (first == last) return;
  const Origin origin = tile_origin(ws, tile);
  alignas(64) float state[kBlocks][kStates][16];
  const float* T_end = ws.transmittance.get() + (size_t)tile * kTilePixels;
  const int* death = ws.death.get() + (size_t)tile * kTilePixels;
  // A block wakes at the last pair that any of its pixels lived to see.
  struct Wake { int pair, block; } wakes[kBlocks];
  int wake_count = 0;
  uint64_t awake = 0;
  for (int block = 0; block < kBlocks; block++) {
    const Origin at = block_origin(origin, block);
    int latest = 0;
    for (int lane = 0; lane < 16; lane++) {
      const int x = at.x + lane % kBlock, y = at.y + lane / kBlock;
      const bool inside = x < ws.width && y < ws.height;
      const size_t pixel = inside ? (size_t)y * ws.width + x : 0;
      const float T = T_end[16 * block + lane];
      float shining = inside && pull.alpha ? -pull.alpha[pixel] : 0.f;
      for (int c = 0; c < 3; c++) {
        const float g = inside ? pull.image[3 * pixel + c] : 0.f;
        if (inside && pull.background) shining += pull.background[3 * pixel + c] * g;
        state[block][kGRed + c][lane] = g;
      }
      state[block][kT][lane] = T;
      state[block][kBehind][lane] = T * shining;
      latest = std::max(latest, death[16 * block + lane]);
    }
    if (latest == kNever) awake |= 1ull << block;
    else wakes[wake_count++] = {latest, block};
  }
  std::sort(wakes, wakes + wake_count, [](const Wake& p, const Wake& q) { return p.pair > q.pair; });
  int next_wake = 0;
  const F16 cutoff = set(kLog2AlphaLeast), most = set(kAlphaMost), one = set(1.f), zero = set(0.f);
  for (int k = last - 1; k >= first; k--) {
    __builtin_prefetch(&projected[pairs[std::max(k - 8, first)].gaussian]);
    while (next_wake < wake_count && wakes[next_wake].pair > k) awake |= 1ull << wakes[next_wake++].block;
    float* slot = ws.moments.get() + (size_t)pairs[k].slot * kSlot;
    uint64_t blocks = pairs[k].blocks & awake;
    if (!blocks) {
      std::fill(slot, slot + kMoments, 0.f);
      continue;
    }
    const Broadcast g(projected[pairs[k].gaussian], origin);
    // With e = alpha dL/dalpha: sums of e, e dx, e dy, e dx^2, e dx dy, e dy^2, then of the colours.
    F16 total[8] = {zero, zero, zero, zero, zero, zero, zero, zero}, total_blue = zero;
    do {
      const int block = __builtin_ctzll(blocks);
      blocks &= blocks - 1;
      const F16 dx = g.dx(block), dy = g.dy(block), power = g.log2_alpha(dx, dy);
      const M16 touched = both(at_least(power, cutoff), before(k, death + 16 * block));
      if (!any(touched)) continue;
      float* s = state[block][0];
      const F16 free_alpha = exp2(power), a = min(free_alpha, most), inverse = reciprocal(one - a);
      const F16 T_after = load(s + 16 * kT), T = T_after * inverse;
      store(s + 16 * kT, select(touched, T, T_after));
      const F16 weight = where(touched, a * T);
      const F16 g_red = load(s + 16 * kGRed), g_green = load(s + 16 * kGGreen), g_blue = load(s + 16 * kGBlue);
      total[6] = fma(weight, g_red, total[6]);
      total[7] = fma(weight, g_green, total[7]);
      total_blue = fma(weight, g_blue, total_blue);
      const F16 own = weight * fma(g.red, g_red, fma(g.green, g_green, g.blue * g_blue));
      const F16 behind = load(s + 16 * kBehind);
      store(s + 16 * kBehind, behind + own);
      // A clamped alpha does not answer to its Gaussian.
      const F16 e = where(both(touched, at_least(most, free_alpha)), fnma(behind * a, inverse, own));
      const F16 ex = e * dx, ey = e * dy;
      total[0] = total[0] + e;
      total[1] = total[1] + ex;
      total[2] = total[2] + ey;
      total[3] = fma(ex, dx, total[3]);
      total[4] = fma(ex, dy, total[4]);
      total[5] = fma(ey, dy, total[5]);
    } while (blocks);
    sum8(total, slot);
    slot[8] = sum(total_blue);
  }
}

}  // namespace gst
