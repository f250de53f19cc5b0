// What Python calls. Every function returns 0, or a number that says what it refused.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "export.h"
#include "raster.h"

using namespace gst;

namespace {

enum Status { kOk = 0, kBadSize = 1, kNoMemory = 2, kNoState = 3 };
constexpr int kMostSide = 32768;

}  // namespace

GST_EXPORT void* gst_raster_new() { return new (std::nothrow) Workspace; }
GST_EXPORT void gst_raster_free(void* workspace) { delete static_cast<Workspace*>(workspace); }

// image [H, W, 3] over a background [H, W, 3] (null: black), and alpha [H, W]; means2d [N, 2] and radii [N] may be null.
// camera: fx, fy, cx, cy, then the upper three rows of the world-to-camera matrix.
GST_EXPORT int gst_raster_forward(void* workspace, int count, const float* means, const float* scales,
                                  const float* quats, const float* opacities, const float* colors,
                                  const float* camera, int width, int height, const float* background,
                                  float* image, float* alpha, float* means2d, int* radii, int keep_state,
                                  int threads) {
  if (!workspace || count < 0 || width < 1 || height < 1 || width > kMostSide || height > kMostSide || threads < 1)
    return kBadSize;
  Workspace& ws = *static_cast<Workspace*>(workspace);
  try {
    std::memcpy(&ws.camera, camera, 16 * sizeof(float));
    ws.width = ws.camera.width = width, ws.height = ws.camera.height = height;
    ws.tiles_x = (width + kTile - 1) / kTile, ws.tiles_y = (height + kTile - 1) / kTile;
    ws.count = count, ws.keeps_state = keep_state != 0;
    const size_t room = (size_t)count + kLanes;
    ws.projected.reserve(room), ws.key.reserve(room), ws.key_other.reserve(room);
    ws.order_a.reserve(room), ws.order_b.reserve(room), ws.first_slot.reserve(room), ws.slots.reserve(room);
    if (keep_state) {
      ws.transmittance.reserve((size_t)ws.tiles() * kTilePixels);
      ws.death.reserve((size_t)ws.tiles() * kTilePixels);
    }
    const Inputs in{means, scales, quats, opacities, colors};
    const int n = chunks(count), tiles = ws.tiles();
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int t = 0; t < n; t++) {
      const int first = t * kChunk, last = std::min(count, first + kChunk);
      project(ws, in, first, last);
      for (int i = first; i < last; i++) {
        const Projected& p = ws.projected.get()[i];
        const bool seen = p.half_y >= 0;
        if (means2d) means2d[2 * (size_t)i] = seen ? p.x : 0.f, means2d[2 * (size_t)i + 1] = seen ? p.y : 0.f;
        if (radii) radii[i] = seen ? (int)std::min(std::ceil(std::max(p.half_x, p.half_y)), 1e9f) : 0;
      }
    }
    sort_and_tile(ws, threads);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int tile = 0; tile < tiles; tile++) blend_tile(ws, tile, {image, alpha, background});
  } catch (const std::bad_alloc&) {
    ws.count = -1;
    return kNoMemory;
  }
  return kOk;
}

// Gradients of a loss whose gradients on image [H, W, 3] and alpha [H, W] (may be null) are given;
// the inputs, background among them, are the forward call's. means2d [N, 2] (may be null) receives the
// pull on the centres.
GST_EXPORT int gst_raster_backward(void* workspace, int count, const float* means, const float* scales,
                                   const float* quats, const float* opacities, const float* background,
                                   const float* g_image, const float* g_alpha, float* g_means,
                                   float* g_scales, float* g_quats, float* g_opacities, float* g_colors,
                                   float* g_means2d, int threads) {
  if (!workspace || threads < 1) return kBadSize;
  Workspace& ws = *static_cast<Workspace*>(workspace);
  if (ws.count != count || !ws.keeps_state) return kNoState;
  try {
    ws.moments.reserve(ws.slot_count * kSlot + kLanes);
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
  const int tiles = ws.tiles(), n = chunks(count);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int tile = 0; tile < tiles; tile++) blend_tile_backward(ws, tile, {g_image, g_alpha, background});
  const Inputs in{means, scales, quats, opacities, nullptr};
  const Gradients out{g_means, g_scales, g_quats, g_opacities, g_colors, g_means2d};
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int t = 0; t < n; t++) project_backward(ws, in, out, t * kChunk, std::min(count, (t + 1) * kChunk));
  return kOk;
}
