// Pixels from a tile's list of Gaussians, front to back.
//
// A block's sixteen pixels are one vector. A pixel that has grown too dark is finished: its
// transmittance is kept negated, and the pair that finished it is noted, which is where the way
// back begins.
#include <algorithm>

#include "raster_blend.h"

namespace gst {
namespace {

enum { kT, kRed, kGreen, kBlue, kStates };
using BlockState = float[kStates][kLanes];

// The blocks with a pixel that is not finished.
uint64_t unfinished(uint64_t blocks, const BlockState* states) {
  uint64_t still = 0;
  for (; blocks; blocks &= blocks - 1) {
    const int block = __builtin_ctzll(blocks);
    if (any(at_least(load(states[block][kT]), set(0.f)))) still |= 1ull << block;
  }
  return still;
}

// A Gaussian's alpha in every block it touches, and then their colours: two short chains of
// operations, of which the processor can overlap more blocks than of a long one. Nothing depends on
// a branch that it could not foresee: where alpha is zero all stays as it is, and finished blocks are
// looked for only now and then.
template <bool kKeepState> void walk(Workspace& ws, int tile, Origin origin, BlockState* states) {
  constexpr int kLookAgain = 16;
  const Projected* projected = ws.projected.get();
  const Pair* listed = ws.listed.get();
  const int first = ws.tile_first.get()[tile], last = ws.tile_first.get()[tile + 1];
  int* death = kKeepState ? ws.death.get() + (size_t)tile * kTilePixels : nullptr;
  const F16 cutoff = set(kLog2AlphaLeast), darkest = set(kTransmittanceLeast), most = set(kAlphaMost), zero = set(0.f);
  alignas(64) float alphas[kTilePixels];
  uint64_t alive = blocks_inside(ws, origin);
  for (int k = first; k < last; k++) {
    if ((k - first) % kLookAgain == kLookAgain - 1 && !(alive = unfinished(alive, states))) return;
    __builtin_prefetch(&projected[listed[std::min(k + kAhead, last - 1)].gaussian]);
    const uint64_t touched = listed[k].blocks & alive;
    if (!touched) continue;
    const Broadcast g(projected[listed[k].gaussian], origin);
    float* alpha = alphas;
    for (uint64_t blocks = touched; blocks; blocks &= blocks - 1, alpha += kLanes) {
      const int block = __builtin_ctzll(blocks);
      const F16 power = g.log2_alpha(g.u(block), g.v(block));
      store(alpha, min(exp2(at_least(power, cutoff), power), most));
    }
    alpha = alphas;
    for (uint64_t blocks = touched; blocks; blocks &= blocks - 1, alpha += kLanes) {
      const int block = __builtin_ctzll(blocks);
      float* s = states[block][0];
      const F16 a = load(alpha), T = load(s + 16 * kT), T_next = fnma(a, T, T);
      const M16 go = at_least(T_next, darkest);
      const F16 weight = where(go, a * T);
      if (kKeepState) store_where(death + 16 * block, differ(at_least(T, zero), go), k);
      store(s + 16 * kT, select_or_negative(go, T_next, T));
      store(s + 16 * kRed, fma(weight, g.red, load(s + 16 * kRed)));
      store(s + 16 * kGreen, fma(weight, g.green, load(s + 16 * kGreen)));
      store(s + 16 * kBlue, fma(weight, g.blue, load(s + 16 * kBlue)));
    }
  }
}

// What a block's pixels let through goes to the background.
inline Rgb over_background(const Picture<const float, 3>& background, Origin at, const BlockState& s) {
  Rgb color{load(s[kRed]), load(s[kGreen]), load(s[kBlue])};
  if (!background.values) return color;
  const F16 T = load(s[kT]);
  background.read(at.x, at.y, [&](const float* rows, size_t stride) {
    const Rgb behind = load_rgb(rows, stride);
    color = {fma(T, behind.red, color.red), fma(T, behind.green, color.green), fma(T, behind.blue, color.blue)};
  });
  return color;
}

// The canvas as pictures.
struct Pictures {
  Picture<const float, 3> background;
  Picture<float, 3> image;
  Picture<float, 1> alpha;
  Picture<uint8_t, 3> bytes;
  Pictures(const Workspace& ws, const Canvas& c)
      : background{c.background, ws.width, ws.height}, image{c.image, ws.width, ws.height},
        alpha{c.alpha, ws.width, ws.height}, bytes{c.bytes, ws.width, ws.height} {}
  void fetch(Origin at) const {
    background.fetch(at.x, at.y), image.fetch(at.x, at.y), bytes.fetch(at.x, at.y);
    if (at.x % kTile % 16 == 0) alpha.fetch(at.x, at.y);  // sixteen pixels to a cache line
  }
};

void deliver(const Workspace& ws, Origin origin, BlockState* states, const Pictures& to) {
  for (int block = 0; block < kBlocks; block++) {
    const Origin at = block_origin(origin, block);
    if (at.x >= ws.width || at.y >= ws.height) continue;
    to.fetch({at.x, at.y + kBlock});
    const Rgb color = over_background(to.background, at, states[block]);
    if (to.bytes.values) {
      to.bytes.write(at.x, at.y, [&](uint8_t* rows, size_t stride) { store_bytes(rows, stride, color); });
      continue;
    }
    const F16 opaque = set(1.f) - load(states[block][kT]);
    to.image.write(at.x, at.y, [&](float* rows, size_t stride) { store_rgb(rows, stride, color); });
    to.alpha.write(at.x, at.y, [&](float* rows, size_t stride) { store_gray(rows, stride, opaque); });
  }
}

}  // namespace

void blend_tile(Workspace& ws, int tile, const Canvas& canvas) {
  const Origin origin = tile_origin(ws, tile);
  const Pictures pictures(ws, canvas);
  for (int block = 0; block < kBlocksAcross; block++) pictures.fetch(block_origin(origin, block));
  alignas(64) BlockState states[kBlocks];
  for (BlockState& s : states) {
    store(s[kT], set(1.f));
    for (int k = kRed; k <= kBlue; k++) store(s[k], set(0.f));
  }
  if (ws.keeps_state) {
    int* death = ws.death.get() + (size_t)tile * kTilePixels;
    std::fill(death, death + kTilePixels, kNever);
    walk<true>(ws, tile, origin, states);
  } else {
    walk<false>(ws, tile, origin, states);
  }
  for (BlockState& s : states) store(s[kT], abs(load(s[kT])));
  if (ws.keeps_state) {
    float* T = ws.transmittance.get() + (size_t)tile * kTilePixels;
    for (int block = 0; block < kBlocks; block++) store(T + 16 * block, load(states[block][kT]));
  }
  deliver(ws, origin, states, pictures);
}

}  // namespace gst
