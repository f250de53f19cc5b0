// Gradients from a tile's pixels, back to front through its list of Gaussians.
#include <algorithm>

#include "raster_blend.h"

namespace gst {
namespace {

// What the way back carries per pixel. `beyond` is what shines in from behind the Gaussians met so
// far, as the loss values it: colour . g_image of what the eye would see without those in front. It
// begins as background . g_image - g_alpha, and
//   dL/dalpha_i = T_i (colour_i . g_image - beyond_i),   beyond_(i-1) = beyond_i + alpha_i (...).
// It is kept negated, which spares a subtraction.
enum { kT, kMinusBeyond, kGRed, kGGreen, kGBlue, kStates };
using BlockState = float[kStates][kLanes];

struct Wake { int pair, block; };

void load_pull(const Workspace& ws, Origin at, const float* T_end, const Pull& pull, BlockState& s) {
  const int width = ws.width, height = ws.height;
  const Picture<const float, 3> image{pull.image, width, height}, background{pull.background, width, height};
  const Picture<const float, 1> alpha{pull.alpha, width, height};
  image.fetch(at.x, at.y + kBlock), alpha.fetch(at.x, at.y + kBlock), background.fetch(at.x, at.y + kBlock);
  F16 minus_beyond = set(0.f);
  Rgb g;
  image.read(at.x, at.y, [&](const float* rows, size_t stride) { g = load_rgb(rows, stride); });
  if (pull.alpha)
    alpha.read(at.x, at.y, [&](const float* rows, size_t stride) { minus_beyond = load_gray(rows, stride); });
  if (pull.background)
    background.read(at.x, at.y, [&](const float* rows, size_t stride) {
      const Rgb behind = load_rgb(rows, stride);
      minus_beyond = fnma(behind.red, g.red, fnma(behind.green, g.green, fnma(behind.blue, g.blue, minus_beyond)));
    });
  store(s[kT], load(T_end)), store(s[kMinusBeyond], minus_beyond);
  store(s[kGRed], g.red), store(s[kGGreen], g.green), store(s[kGBlue], g.blue);
}

// A block wakes at the last pair that any of its pixels lived to see; returns those awake at once.
uint64_t plan_wakes(const int* death, uint64_t inside, Wake* wakes, int& count) {
  uint64_t awake = 0;
  count = 0;
  for (uint64_t blocks = inside; blocks; blocks &= blocks - 1) {
    const int block = __builtin_ctzll(blocks);
    const int latest = *std::max_element(death + 16 * block, death + 16 * block + 16);
    if (latest == kNever) awake |= 1ull << block;
    else wakes[count++] = {latest, block};
  }
  std::sort(wakes, wakes + count, [](const Wake& p, const Wake& q) { return p.pair > q.pair; });
  return awake;
}

// The gradient slot of one Gaussian in one tile. With e = alpha dL/dalpha: sums of e, e u, e v,
// e u^2, e u v, e v^2, then of the colours. First all blocks' alphas, as on the way there.
GST_INLINE void fill_slot(const Broadcast& g, uint64_t blocks, int k, const int* death, BlockState* states, float* slot) {
  const F16 cutoff = set(kLog2AlphaLeast), most = set(kAlphaMost), one = set(1.f), zero = set(0.f);
  F16 total[8] = {zero, zero, zero, zero, zero, zero, zero, zero}, total_blue = zero;
  alignas(64) float alphas[kTilePixels];
  float* alpha = alphas;
  for (uint64_t rest = blocks; rest; rest &= rest - 1, alpha += kLanes) {
    const int block = __builtin_ctzll(rest);
    const F16 power = g.log2_alpha(g.u(block), g.v(block));
    store(alpha, exp2(before(at_least(power, cutoff), k, death + 16 * block), power));
  }
  alpha = alphas;
  for (uint64_t rest = blocks; rest; rest &= rest - 1, alpha += kLanes) {
    const int block = __builtin_ctzll(rest);
    const F16 u = g.u(block), v = g.v(block);
    float* s = states[block][0];
    const F16 free_alpha = load(alpha), a = min(free_alpha, most);
    const F16 T = load(s + 16 * kT) * reciprocal(one - a);  // unchanged where a is zero
    store(s + 16 * kT, T);
    const F16 weight = a * T;
    const F16 g_red = load(s + 16 * kGRed), g_green = load(s + 16 * kGGreen), g_blue = load(s + 16 * kGBlue);
    total[6] = fma(weight, g_red, total[6]);
    total[7] = fma(weight, g_green, total[7]);
    total_blue = fma(weight, g_blue, total_blue);
    const F16 minus_beyond = load(s + 16 * kMinusBeyond);
    const F16 gain = fma(g.red, g_red, fma(g.green, g_green, fma(g.blue, g_blue, minus_beyond)));
    store(s + 16 * kMinusBeyond, fnma(a, gain, minus_beyond));
    // A clamped alpha does not answer to its Gaussian.
    const F16 e = where(at_least(most, free_alpha), weight * gain), eu = e * u, ev = e * v;
    total[0] = total[0] + e;
    total[1] = total[1] + eu;
    total[2] = total[2] + ev;
    total[3] = fma(eu, u, total[3]);
    total[4] = fma(eu, v, total[4]);
    total[5] = fma(ev, v, total[5]);
  }
  sum8(total, slot);
  slot[8] = sum(total_blue);
}

}  // namespace

void blend_tile_backward(Workspace& ws, int tile, const Pull& pull) {
  const Projected* projected = ws.projected.get();
  const Pair* listed = ws.listed.get();
  const int first = ws.tile_first.get()[tile], last = ws.tile_first.get()[tile + 1];
  if (first == last) return;
  const Origin origin = tile_origin(ws, tile);
  const uint64_t inside = blocks_inside(ws, origin);
  alignas(64) BlockState states[kBlocks];
  const float* T_end = ws.transmittance.get() + (size_t)tile * kTilePixels;
  const int* death = ws.death.get() + (size_t)tile * kTilePixels;
  for (uint64_t blocks = inside; blocks; blocks &= blocks - 1) {
    const int block = __builtin_ctzll(blocks);
    load_pull(ws, block_origin(origin, block), T_end + 16 * block, pull, states[block]);
  }
  Wake wakes[kBlocks];
  int wake_count, next_wake = 0;
  uint64_t awake = plan_wakes(death, inside, wakes, wake_count);
  for (int k = last - 1; k >= first; k--) {
    const Pair& ahead = listed[std::max(k - kAhead, first)];
    __builtin_prefetch(&projected[ahead.gaussian]);
    __builtin_prefetch(&ws.moments.get()[(size_t)ahead.slot * kSlot], 1);
    while (next_wake < wake_count && wakes[next_wake].pair > k) awake |= 1ull << wakes[next_wake++].block;
    const Pair pair = listed[k];
    float* slot = ws.moments.get() + (size_t)pair.slot * kSlot;
    const uint64_t blocks = pair.blocks & awake;
    if (blocks) fill_slot(Broadcast(projected[pair.gaussian], origin), blocks, k, death, states, slot);
    else std::fill(slot, slot + kMoments, 0.f);
  }
}

int64_t blocks_evaluated(const Workspace& ws, int tile) {
  const int* death = ws.death.get() + (size_t)tile * kTilePixels;
  Wake ends[kBlocks];
  int end_count, next_end = 0;
  uint64_t alive = plan_wakes(death, blocks_inside(ws, tile_origin(ws, tile)), ends, end_count);
  int64_t total = 0;
  for (int k = ws.tile_first.get()[tile + 1] - 1; k >= ws.tile_first.get()[tile]; k--) {
    while (next_end < end_count && ends[next_end].pair >= k) alive |= 1ull << ends[next_end++].block;
    total += __builtin_popcountll(ws.listed.get()[k].blocks & alive);
  }
  return total;
}

}  // namespace gst
