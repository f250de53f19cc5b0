// Multi-resolution hash encoding on three planes (Mueller et al. 2022; three 2-D grids as in ER-NeRF).
//
// Feature (plane * levels + level) * width + f of a point is read from one table by bilinear
// interpolation. The backward pass gives each (plane, level) to one task, which owns its table: no
// atomics, and the same bits for any number of threads.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "export.h"

namespace {

constexpr int kPlanes = 3, kAxisU[kPlanes] = {0, 1, 0}, kAxisV[kPlanes] = {1, 2, 2};  // xy, yz, xz
constexpr uint32_t kPrime = 2654435761u;
constexpr int kLanes = 16, kChunk = 512, kWidest = 8;

struct Level {
  int32_t cells;    // along a side
  int32_t dense;    // 1: every grid point has its own entry; 0: hashed
  uint32_t mask;    // of a hashed index
  int32_t unused;
  int64_t offset;   // of the table's first entry, in entries
};

// Sixteen points in one grid: their four corners' entries, and where in the cell they lie.
struct Cell {
  alignas(64) uint32_t corner[4][kLanes];  // (0,0) (1,0) (0,1) (1,1)
  alignas(64) float fu[kLanes], fv[kLanes], weight[4][kLanes];
  alignas(64) uint8_t inside_u[kLanes], inside_v[kLanes];  // outside, the position has no gradient

  void locate(const Level& level, int plane, const float* points, int first, int n) {
    alignas(64) float u[kLanes], v[kLanes];
    for (int j = 0; j < kLanes; j++) {
      const float* p = points + 3 * (size_t)(first + (j < n ? j : 0));
      u[j] = p[kAxisU[plane]], v[j] = p[kAxisV[plane]];
    }
    const float cells = (float)level.cells;
    const int last = level.cells - 1;
    const uint32_t row = level.dense ? (uint32_t)level.cells + 1 : kPrime, mask = level.mask;
    const bool dense = level.dense != 0;
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      inside_u[j] = (u[j] > 0.f) & (u[j] < 1.f), inside_v[j] = (v[j] > 0.f) & (v[j] < 1.f);
      u[j] = (u[j] > 0.f ? (u[j] < 1.f ? u[j] : 1.f) : 0.f) * cells;  // a NaN goes to 0
      v[j] = (v[j] > 0.f ? (v[j] < 1.f ? v[j] : 1.f) : 0.f) * cells;
    }
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      int iu = (int)u[j], iv = (int)v[j];
      iu = iu > last ? last : iu, iv = iv > last ? last : iv;
      fu[j] = u[j] - (float)iu, fv[j] = v[j] - (float)iv;
      const float gu = 1.f - fu[j], gv = 1.f - fv[j];
      weight[0][j] = gu * gv, weight[1][j] = fu[j] * gv, weight[2][j] = gu * fv[j], weight[3][j] = fu[j] * fv[j];
      const uint32_t below = (uint32_t)iv * row, above = ((uint32_t)iv + 1u) * row, x = (uint32_t)iu;
      corner[0][j] = (dense ? x + below : x ^ below) & mask;
      corner[1][j] = (dense ? x + 1u + below : (x + 1u) ^ below) & mask;
      corner[2][j] = (dense ? x + above : x ^ above) & mask;
      corner[3][j] = (dense ? x + 1u + above : (x + 1u) ^ above) & mask;
    }
  }
};

template <int F>
void encode(const Level& level, int plane, const float* points, const float* tables, float* out, int dim, int column,
            int first, int last) {
  const float* table = tables + level.offset * F;
  Cell cell;
  for (int i = first; i < last; i += kLanes) {
    const int n = std::min(kLanes, last - i);
    cell.locate(level, plane, points, i, n);
    for (int j = 0; j < n; j++) {
      const float *q0 = table + (size_t)cell.corner[0][j] * F, *q1 = table + (size_t)cell.corner[1][j] * F;
      const float *q2 = table + (size_t)cell.corner[2][j] * F, *q3 = table + (size_t)cell.corner[3][j] * F;
      const float w0 = cell.weight[0][j], w1 = cell.weight[1][j], w2 = cell.weight[2][j], w3 = cell.weight[3][j];
      float* to = out + (size_t)(i + j) * dim + column;
      for (int f = 0; f < F; f++) to[f] = w0 * q0[f] + w1 * q1[f] + w2 * q2[f] + w3 * q3[f];
    }
  }
}

// g_columns: the gradient, one feature's points after the other's.
template <int F>
void table_gradient(const Level& level, int plane, int count, const float* points, const float* g_columns, float* g_tables) {
  float* table = g_tables + level.offset * F;
  Cell cell;
  for (int i = 0; i < count; i += kLanes) {
    const int n = std::min(kLanes, count - i);
    cell.locate(level, plane, points, i, n);
    for (int j = 0; j < n; j++)
      for (int c = 0; c < 4; c++)
        for (int f = 0; f < F; f++)
          table[(size_t)cell.corner[c][j] * F + f] += cell.weight[c][j] * g_columns[(size_t)f * count + i + j];
  }
}

template <int F>
void point_gradient(const Level& level, int plane, int count, const float* points, const float* tables,
                    const float* g_columns, float* g_points, int first, int last) {
  const float* table = tables + level.offset * F;
  const float cells = (float)level.cells;
  Cell cell;
  for (int i = first; i < last; i += kLanes) {
    const int n = std::min(kLanes, last - i);
    cell.locate(level, plane, points, i, n);
    for (int j = 0; j < n; j++) {
      float du = 0, dv = 0;
      for (int f = 0; f < F; f++) {
        float q[4];
        for (int c = 0; c < 4; c++) q[c] = table[(size_t)cell.corner[c][j] * F + f];
        const float g = g_columns[(size_t)f * count + i + j];
        du += g * ((q[1] - q[0]) * (1 - cell.fv[j]) + (q[3] - q[2]) * cell.fv[j]);
        dv += g * ((q[2] - q[0]) * (1 - cell.fu[j]) + (q[3] - q[1]) * cell.fu[j]);
      }
      g_points[3 * (size_t)(i + j) + kAxisU[plane]] += cell.inside_u[j] ? du * cells : 0.f;
      g_points[3 * (size_t)(i + j) + kAxisV[plane]] += cell.inside_v[j] ? dv * cells : 0.f;
    }
  }
}

template <int F> int forward(int count, int levels, const Level* level, const float* points, const float* tables, float* out, int threads) {
  const int dim = kPlanes * levels * F, chunks = (count + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int chunk = 0; chunk < chunks; chunk++)  // a chunk's rows stay in the cache while all tables pass
    for (int t = 0; t < kPlanes * levels; t++)
      encode<F>(level[t], t / levels, points, tables, out, dim, t * F, chunk * kChunk, std::min(count, (chunk + 1) * kChunk));
  return 0;
}

template <int F>
int backward(int count, int levels, const Level* level, const float* points, const float* tables, const float* g_out,
             float* g_columns, float* g_tables, float* g_points, int threads) {
  const int tasks = kPlanes * levels, dim = tasks * F, chunks = (count + kChunk - 1) / kChunk;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int chunk = 0; chunk < chunks; chunk++)
      for (int i = chunk * kChunk; i < std::min(count, (chunk + 1) * kChunk); i++)
        for (int d = 0; d < dim; d++) g_columns[(size_t)d * count + i] = g_out[(size_t)i * dim + d];
#pragma omp for schedule(dynamic, 1) nowait
    for (int t = 0; t < tasks; t++)
      table_gradient<F>(level[t], t / levels, count, points, g_columns + (size_t)t * F * count, g_tables);
    if (g_points) {
#pragma omp for schedule(dynamic, 1)
      for (int chunk = 0; chunk < chunks; chunk++) {
        const int first = chunk * kChunk, last = std::min(count, first + kChunk);
        std::fill(g_points + 3 * (size_t)first, g_points + 3 * (size_t)last, 0.f);
        for (int t = 0; t < tasks; t++)
          point_gradient<F>(level[t], t / levels, count, points, tables, g_columns + (size_t)t * F * count, g_points, first, last);
      }
    }
  }
  return 0;
}

bool sound(int count, int levels, int width, int threads) {
  return count >= 0 && levels >= 1 && width >= 1 && width <= kWidest && threads >= 1;
}

}  // namespace

// points [N, 3] in [0, 1]; out [N, 3 * levels * width]. levels_of: 3 * levels entries.
GST_EXPORT int gst_hashgrid_forward(int count, int levels, int width, const void* levels_of, const float* points,
                                    const float* tables, float* out, int threads) {
  if (!sound(count, levels, width, threads)) return 1;
  const Level* level = static_cast<const Level*>(levels_of);
  switch (width) {
    case 1: return forward<1>(count, levels, level, points, tables, out, threads);
    case 2: return forward<2>(count, levels, level, points, tables, out, threads);
    case 4: return forward<4>(count, levels, level, points, tables, out, threads);
    case 8: return forward<8>(count, levels, level, points, tables, out, threads);
    default: return 2;
  }
}

// g_columns: scratch of N * dim floats. g_tables must be zero; g_points may be null.
GST_EXPORT int gst_hashgrid_backward(int count, int levels, int width, const void* levels_of, const float* points,
                                     const float* tables, const float* g_out, float* g_columns, float* g_tables,
                                     float* g_points, int threads) {
  if (!sound(count, levels, width, threads)) return 1;
  const Level* level = static_cast<const Level*>(levels_of);
  switch (width) {
    case 1: return backward<1>(count, levels, level, points, tables, g_out, g_columns, g_tables, g_points, threads);
    case 2: return backward<2>(count, levels, level, points, tables, g_out, g_columns, g_tables, g_points, threads);
    case 4: return backward<4>(count, levels, level, points, tables, g_out, g_columns, g_tables, g_points, threads);
    case 8: return backward<8>(count, levels, level, points, tables, g_out, g_columns, g_tables, g_points, threads);
    default: return 2;
  }
}
