// Rays through a grid of occupied cells, and what lies along them summed into pixels.
//
// A ray is visited at a fixed row of places, t then t + step(t); those in occupied cells are samples.
// Samples lie ray after ray. A ray is one thread's, forwards and backwards: the same bits for any
// number of threads.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "export.h"

namespace {

constexpr int kMostCells = 1024, kMostValues = 64;
constexpr float kFarthest = 1e4f;  // a stretch longer than this is treated as damaged

struct Rays { int count; const float *origins, *directions, *near, *far, *jitter; };  // jitter may be null
struct Grid { int cells; const uint8_t* occupied; };                                  // [z][y][x] over [-1, 1]
struct Steps { float least, growth; int most; };  // of a ray's places: max(least, growth t); samples

inline float step_at(const Steps& s, float t) { return std::max(s.least, s.growth * t); }

// Cell of a coordinate; what is no number goes to 0.
inline int cell_of(float x, int cells) {
  const float place = (x * 0.5f + 0.5f) * (float)cells;
  return place > 0.f ? std::min((int)std::min(place, (float)cells), cells - 1) : 0;
}

inline bool occupied(const Grid& g, const float* o, const float* d, float t) {
  const int x = cell_of(o[0] + t * d[0], g.cells), y = cell_of(o[1] + t * d[1], g.cells);
  const int z = cell_of(o[2] + t * d[2], g.cells);
  return g.occupied[((size_t)z * g.cells + y) * g.cells + x] != 0;
}

template <class Take> int walk(const Rays& rays, const Grid& grid, const Steps& steps, int ray, Take take) {
  const float *o = rays.origins + 3 * (size_t)ray, *d = rays.directions + 3 * (size_t)ray;
  const float near = rays.near[ray], far = rays.far[ray];
  if (!(far - near > 0.f && far - near < kFarthest)) return 0;
  int taken = 0;
  float t = near + (rays.jitter ? rays.jitter[ray] : 0.5f) * step_at(steps, near);
  while (t < far && taken < steps.most) {
    const float step = step_at(steps, t), next = t + step;
    if (!(next > t)) break;  // so far away that floats no longer tell the places apart
    if (occupied(grid, o, d, t)) take(taken++, t, step);
    t = next;
  }
  return taken;
}

bool sound(const Rays& rays, const Grid& grid, const Steps& steps, int threads) {
  return rays.count >= 0 && threads >= 1 && grid.cells >= 1 && grid.cells <= kMostCells && steps.least > 1e-6f &&
         steps.growth >= 0.f && steps.most >= 1;
}

bool sound(int rays, int width, int threads) {
  return rays >= 0 && threads >= 1 && width >= 1 && width <= kMostValues;
}

}  // namespace

// How many samples each ray has: counts [R]. All of a ray in coordinates where the grid is [-1, 1]^3.
GST_EXPORT int gst_march_count(int rays, const float* origins, const float* directions, const float* near,
                               const float* far, const float* jitter, int cells, const uint8_t* grid, float least,
                               float growth, int most, int64_t* counts, int threads) {
  const Rays all{rays, origins, directions, near, far, jitter};
  const Steps steps{least, growth, most};
  if (!sound(all, {cells, grid}, steps, threads)) return 1;
#pragma omp parallel for schedule(dynamic, 256) num_threads(threads)
  for (int r = 0; r < rays; r++) counts[r] = walk(all, {cells, grid}, steps, r, [](int, float, float) {});
  return 0;
}

// The samples: distance, length and position; those of ray r begin at first[r].
GST_EXPORT int gst_march_write(int rays, const float* origins, const float* directions, const float* near,
                               const float* far, const float* jitter, int cells, const uint8_t* grid, float least,
                               float growth, int most, const int64_t* first, float* at, float* length,
                               float* positions, int64_t* ray, int threads) {
  const Rays all{rays, origins, directions, near, far, jitter};
  const Steps steps{least, growth, most};
  if (!sound(all, {cells, grid}, steps, threads)) return 1;
#pragma omp parallel for schedule(dynamic, 256) num_threads(threads)
  for (int r = 0; r < rays; r++)
    walk(all, {cells, grid}, steps, r, [&](int k, float t, float step) {
      const int64_t i = first[r] + k;
      at[i] = t, length[i] = step, ray[i] = r;
      for (int a = 0; a < 3; a++) positions[3 * i + a] = origins[3 * (size_t)r + a] + t * directions[3 * (size_t)r + a];
    });
  return 0;
}

// sums [R, width] = sum_i w_i values_i and alpha [R] = sum_i w_i, with
// w_i = exp(-sum_{j<i} density_j length_j) (1 - exp(-density_i length_i)); first has R + 1 entries.
GST_EXPORT int gst_composite_forward(int rays, int width, const int64_t* first, const float* density,
                                     const float* length, const float* values, float* sums, float* alpha,
                                     int threads) {
  if (!sound(rays, width, threads)) return 1;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int r = 0; r < rays; r++) {
    float light = 1.f, *sum = sums + (size_t)r * width;
    std::fill(sum, sum + width, 0.f);
    for (int64_t i = first[r]; i < first[r + 1]; i++) {
      const float kept = std::exp(-density[i] * length[i]), weight = light * (1.f - kept);
      for (int f = 0; f < width; f++) sum[f] += weight * values[i * width + f];
      light *= kept;
    }
    alpha[r] = 1.f - light;
  }
  return 0;
}

// Gradients of density [M] and values [M, width], from those of sums and alpha.
GST_EXPORT int gst_composite_backward(int rays, int width, const int64_t* first, const float* density,
                                      const float* length, const float* values, const float* g_sums,
                                      const float* g_alpha, float* g_density, float* g_values, int threads) {
  if (!sound(rays, width, threads)) return 1;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int r = 0; r < rays; r++) {
    const float* pull = g_sums + (size_t)r * width;
    const int64_t begin = first[r], end = first[r + 1];
    float light = 1.f;
    for (int64_t i = begin; i < end; i++) {
      g_density[i] = light;  // kept here for a moment: the light that reaches the sample
      light *= std::exp(-density[i] * length[i]);
    }
    // What lies behind a sample is hidden by it; last of all the background, felt as -g_alpha.
    float behind = -g_alpha[r] * light;
    for (int64_t i = end; i-- > begin;) {
      const float kept = std::exp(-density[i] * length[i]), weight = g_density[i] * (1.f - kept);
      float felt = 0.f;
      for (int f = 0; f < width; f++) {
        felt += pull[f] * values[i * width + f];
        g_values[i * width + f] = weight * pull[f];
      }
      g_density[i] = length[i] * (g_density[i] * kept * felt - behind);
      behind += weight * felt;
    }
  }
  return 0;
}
