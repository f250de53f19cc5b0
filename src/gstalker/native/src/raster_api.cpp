// What Python calls. Every function returns 0, or a number that says what it refused.
#include <algorithm>
#include <cstring>

#include "export.h"
#include "raster.h"
#include "raster_phases.h"

using namespace gst;

namespace {

enum Status { kOk = 0, kBadSize = 1, kNoMemory = 2, kNoState = 3 };
constexpr int kMostSide = 32768;

// camera: fx, fy, cx, cy, then the upper three rows of the world-to-camera matrix.
void prepare(Workspace& ws, int count, const float* camera, int width, int height, bool harmonic, bool keep_state) {
  std::memcpy(&ws.camera, camera, 16 * sizeof(float));
  ws.width = ws.camera.width = width, ws.height = ws.camera.height = height;
  ws.tiles_x = (width + kTile - 1) / kTile, ws.tiles_y = (height + kTile - 1) / kTile;
  ws.count = count, ws.keeps_state = keep_state;
  ws.color_map = harmonic ? kHarmonicColors : kPlainColors;
  ws.projected.reserve((size_t)count), ws.ranges.reserve((size_t)count);
  ws.first_slot.reserve((size_t)count), ws.slots.reserve((size_t)count);
  if (keep_state) {
    ws.transmittance.reserve((size_t)ws.tiles() * kTilePixels);
    ws.death.reserve((size_t)ws.tiles() * kTilePixels);
  }
}

bool draw(Workspace& ws, const Inputs& in, const Centres& centres, const Canvas& canvas, int threads) {
  const int n = chunks(ws.count), tiles = ws.tiles();
  std::atomic<bool> failed{false};
  Phase projecting(failed), room(failed), meeting(failed), layout(failed), scattering(failed), blending(failed);
#pragma omp parallel num_threads(threads)
  {
    projecting.run(n, [&](int chunk) { project(ws, in, centres, chunk * kChunk, chunk_end(ws.count, chunk)); });
    room.run(1, [&](int) { make_room_for_pairs(ws); });
    meeting.run(n, [&](int chunk) { pair_with_tiles(ws, chunk); });
    layout.run(1, [&](int) { lay_out_tiles(ws); });
    scattering.run(n, [&](int chunk) { scatter_to_tiles(ws, chunk); });
    blending.run(tiles, [&](int i) {
      const int tile = ws.tile_order.get()[i];
      sort_tile(ws, tile);
      blend_tile(ws, tile, canvas);
    });
  }
  return !failed.load();
}

int forward(void* workspace, int count, const Inputs& in, int harmonic, const float* camera, int width, int height,
            const Centres& centres, const Canvas& canvas, bool keep_state, int threads) {
  if (!workspace || count < 0 || width < 1 || height < 1 || width > kMostSide || height > kMostSide || threads < 1)
    return kBadSize;
  Workspace& ws = *static_cast<Workspace*>(workspace);
  try {
    prepare(ws, count, camera, width, height, harmonic != 0, keep_state);
    if (draw(ws, in, centres, canvas, threads)) return kOk;
  } catch (const std::bad_alloc&) {
  }
  ws.count = -1;
  return kNoMemory;
}

}  // namespace

GST_EXPORT void* gst_raster_new() { return new (std::nothrow) Workspace; }
GST_EXPORT void gst_raster_free(void* workspace) { delete static_cast<Workspace*>(workspace); }

// image [H, W, 3] over a background [H, W, 3] (null: black), and alpha [H, W]; means2d [N, 2] and
// radii [N] may be null. Colours [N, 3] are the constant harmonic's coefficients if `harmonic`.
GST_EXPORT int gst_raster_forward(void* workspace, int count, const float* means, const float* scales,
                                  const float* quats, const float* opacities, const float* colors, int harmonic,
                                  const float* camera, int width, int height, const float* background,
                                  float* image, float* alpha, float* means2d, int* radii, int keep_state,
                                  int threads) {
  return forward(workspace, count, {means, scales, quats, opacities, colors}, harmonic, camera, width, height,
                 {means2d, radii}, {image, alpha, nullptr, background}, keep_state != 0, threads);
}

// The same picture in 8 bits, [H, W, 3], and nothing else.
GST_EXPORT int gst_raster_paint(void* workspace, int count, const float* means, const float* scales,
                                const float* quats, const float* opacities, const float* colors, int harmonic,
                                const float* camera, int width, int height, const float* background,
                                uint8_t* image, int threads) {
  return forward(workspace, count, {means, scales, quats, opacities, colors}, harmonic, camera, width, height,
                 {nullptr, nullptr}, {nullptr, nullptr, image, background}, false, threads);
}

// What the last forward pass, which must have kept its state, had to do: out[0] entries of the tiles'
// lists, out[1] Gaussians at pixels of blocks that were not finished.
GST_EXPORT int gst_raster_counts(void* workspace, int64_t* out) {
  if (!workspace || !out) return kBadSize;
  const Workspace& ws = *static_cast<Workspace*>(workspace);
  if (ws.count < 0 || !ws.keeps_state) return kNoState;
  out[0] = ws.tile_first.get()[ws.tiles()], out[1] = 0;
  for (int tile = 0; tile < ws.tiles(); tile++) out[1] += kLanes * blocks_evaluated(ws, tile);
  return kOk;
}

// Gradients of a loss whose gradients on image [H, W, 3] and alpha [H, W] (may be null) are given;
// the inputs, background among them, are the forward call's. means2d [N, 2] (may be null) receives
// the pull on the centres.
GST_EXPORT int gst_raster_backward(void* workspace, int count, const float* means, const float* scales,
                                   const float* quats, const float* opacities, const float* colors,
                                   const float* background, const float* g_image, const float* g_alpha,
                                   float* g_means, float* g_scales, float* g_quats, float* g_opacities,
                                   float* g_colors, float* g_means2d, int threads) {
  if (!workspace || threads < 1) return kBadSize;
  Workspace& ws = *static_cast<Workspace*>(workspace);
  if (ws.count != count || !ws.keeps_state) return kNoState;
  try {
    ws.moments.reserve(ws.slot_count * kSlot);
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
  const Inputs in{means, scales, quats, opacities, colors};
  const Gradients out{g_means, g_scales, g_quats, g_opacities, g_colors, g_means2d};
  std::atomic<bool> failed{false};
  Phase blending(failed), projecting(failed);
#pragma omp parallel num_threads(threads)
  {
    blending.run(ws.tiles(), [&](int i) { blend_tile_backward(ws, ws.tile_order.get()[i], {g_image, g_alpha, background}); });
    projecting.run(chunks(count), [&](int chunk) {
      project_backward(ws, in, out, chunk * kChunk, chunk_end(count, chunk));
    });
  }
  return kOk;
}
