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

template <bool kKeepState> void walk(Workspace& ws, int tile, Origin origin, BlockState* states) {
  const Projected* projected = ws.projected.get();
  const Pair* listed = ws.listed.get();
  const int first = ws.tile_first.get()[tile], last = ws.tile_first.get()[tile + 1];
  int* death = kKeepState ? ws.death.get() + (size_t)tile * kTilePixels : nullptr;
  const F16 cutoff = set(kLog2AlphaLeast), darkest = set(kTransmittanceLeast), most = set(kAlphaMost), zero = set(0.f);
  uint64_t alive = blocks_inside(ws, origin);
  for (int k = first; k < last && alive; k++) {
    __builtin_prefetch(&projected[listed[std::min(k + kAhead, last - 1)].gaussian]);
    uint64_t blocks = listed[k].blocks & alive;
    if (!blocks) continue;
    const Broadcast g(projected[listed[k].gaussian], origin);
    do {
      const int block = __builtin_ctzll(blocks);
      blocks &= blocks - 1;
      const F16 power = g.log2_alpha(g.u(block), g.v(block));
      float* s = states[block][0];
      const F16 T = load(s + 16 * kT);
      const M16 touched = at_least(at_least(power, cutoff), T, zero);
      const F16 a = min(exp2(touched, power), most), T_next = fnma(a, T, T);
      const M16 go = at_least(touched, T_next, darkest);
      const F16 weight = where(go, a * T);
      store(s + 16 * kT, select(go, T_next, T));
      store(s + 16 * kRed, fma(weight, g.red, load(s + 16 * kRed)));
      store(s + 16 * kGreen, fma(weight, g.green, load(s + 16 * kGreen)));
      store(s + 16 * kBlue, fma(weight, g.blue, load(s + 16 * kBlue)));
      if (__builtin_expect(same(go, touched), 1)) continue;
      const M16 died = differ(touched, go);
      const F16 marked = negate_where(died, load(s + 16 * kT));
      store(s + 16 * kT, marked);
      if (kKeepState) store_where(death + 16 * block, died, k);
      if (!any(at_least(marked, zero))) alive &= ~(1ull << block);
    } while (blocks);
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
