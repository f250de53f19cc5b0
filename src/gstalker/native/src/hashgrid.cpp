// Multi-resolution hash encoding on three planes (Mueller et al. 2022; three 2-D grids as in ER-NeRF).
//
// Feature (plane * levels + level) * width + f of a point is read from one table by bilinear
// interpolation. Points are first laid out coordinate by coordinate, so that sixteen of them are
// located and read at once. The backward pass gives each (plane, level) to one task, which owns its
// table: no atomics, and the same bits for any number of threads.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "export.h"

namespace {

constexpr int kPlanes = 3, kAxes = 3, kAxisU[kPlanes] = {0, 1, 0}, kAxisV[kPlanes] = {1, 2, 2};  // xy, yz, xz
constexpr uint32_t kPrime = 2654435761u;
constexpr int kLanes = 16, kCorners = 4, kChunk = 512;

struct Level {
  int32_t cells;    // along a side
  int32_t dense;    // 1: every grid point has its own entry; 0: hashed
  uint32_t mask;    // of a hashed index
  int32_t size;     // of the table, in entries
  int64_t offset;   // of the table's first entry, in entries
};

// Entries are signed 32-bit: only then does the compiler gather sixteen with one instruction.
using Entry = int32_t;
constexpr int kWidest = 8, kMostEntries = INT32_MAX / kWidest;

// Sixteen points in one grid: their cell's four corners, and where in the cell they lie.
struct Cell {
  alignas(64) Entry corner[kCorners][kLanes];  // (0,0) (1,0) (0,1) (1,1)
  alignas(64) float fu[kLanes], fv[kLanes], weight[kCorners][kLanes];

  // Not one loop with a test of `dense`: g++ then keeps both kinds of index and is slower.
  void locate(const Level& level, const float* u, const float* v) {
    if (level.dense)
      locate_as<true>(level, u, v);
    else
      locate_as<false>(level, u, v);
  }

 private:
  template <bool kDense> void locate_as(const Level& level, const float* u, const float* v) {
    const float cells = (float)level.cells;
    const int last = level.cells - 1;
    const uint32_t row = kDense ? (uint32_t)level.cells + 1 : kPrime, mask = level.mask;
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      const float pu = u[j] * cells, pv = v[j] * cells;
      int iu = (int)pu, iv = (int)pv;
      iu = iu > last ? last : iu, iv = iv > last ? last : iv;
      const float tu = pu - (float)iu, tv = pv - (float)iv;
      fu[j] = tu, fv[j] = tv;
      weight[0][j] = (1.f - tu) * (1.f - tv), weight[1][j] = tu * (1.f - tv);
      weight[2][j] = (1.f - tu) * tv, weight[3][j] = tu * tv;
      const uint32_t x = (uint32_t)iu, below = (uint32_t)iv * row, above = below + row;
      corner[0][j] = (Entry)(kDense ? x + below : (x ^ below) & mask);
      corner[1][j] = (Entry)(kDense ? x + 1u + below : ((x + 1u) ^ below) & mask);
      corner[2][j] = (Entry)(kDense ? x + above : (x ^ above) & mask);
      corner[3][j] = (Entry)(kDense ? x + 1u + above : ((x + 1u) ^ above) & mask);
    }
  }
};

inline float inside(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }  // a NaN goes to 0

inline int padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Points first..last as columns u, v, w of `stride`, the rest up to a multiple of 16 zeros.
void lay_out(const float* points, int first, int last, float* columns, size_t stride) {
  for (int axis = 0; axis < kAxes; axis++) {
    float* column = columns + (size_t)axis * stride;
    const int n = last - first;
    for (int j = 0; j < n; j++) column[j] = inside(points[kAxes * (size_t)(first + j) + axis]);
    std::fill(column + n, column + padded(n), 0.f);
  }
}

// out: one feature's points after the other's, `stride` apart, room for a multiple of sixteen.
template <int F>
void encode(const Level& level, const float* u, const float* v, int n, const float* tables, float* out, size_t stride) {
  const float* table = tables + level.offset * F;
  Cell cell;
  for (int i = 0; i < n; i += kLanes) {
    cell.locate(level, u + i, v + i);
    for (int f = 0; f < F; f++)
#pragma omp simd
      for (int j = 0; j < kLanes; j++) {
        float sum = 0.f;
        for (int c = 0; c < kCorners; c++) sum += cell.weight[c][j] * table[cell.corner[c][j] * F + f];
        out[f * stride + i + j] = sum;
      }
  }
}

// pull: the gradient, laid out as encode's output.
template <int F>
void table_gradient(const Level& level, const float* u, const float* v, int n, const float* pull, size_t stride,
                    float* g_tables) {
  float* __restrict table = g_tables + level.offset * F;
  alignas(64) float share[F][kCorners][kLanes];
  Cell cell;
  for (int i = 0; i < n; i += kLanes) {
    cell.locate(level, u + i, v + i);
    for (int f = 0; f < F; f++)
      for (int c = 0; c < kCorners; c++)
#pragma omp simd
        for (int j = 0; j < kLanes; j++) share[f][c][j] = cell.weight[c][j] * pull[f * stride + i + j];
    const int lanes = std::min(kLanes, n - i);
    for (int j = 0; j < lanes; j++)  // one after the other: two points may share an entry
      for (int c = 0; c < kCorners; c++)
        for (int f = 0; f < F; f++) table[cell.corner[c][j] * F + f] += share[f][c][j];
  }
}

// Adds to g_u and g_v.
template <int F>
void point_gradient(const Level& level, const float* u, const float* v, int n, const float* tables, const float* pull,
                    size_t stride, float* g_u, float* g_v) {
  const float* table = tables + level.offset * F;
  const float cells = (float)level.cells;
  Cell cell;
  for (int i = 0; i < n; i += kLanes) {
    cell.locate(level, u + i, v + i);
    for (int f = 0; f < F; f++)
#pragma omp simd
      for (int j = 0; j < kLanes; j++) {
        const float q0 = table[cell.corner[0][j] * F + f], q1 = table[cell.corner[1][j] * F + f];
        const float q2 = table[cell.corner[2][j] * F + f], q3 = table[cell.corner[3][j] * F + f];
        const float g = pull[f * stride + i + j] * cells;
        g_u[i + j] += g * ((q1 - q0) * (1.f - cell.fv[j]) + (q3 - q2) * cell.fv[j]);
        g_v[i + j] += g * ((q2 - q0) * (1.f - cell.fu[j]) + (q3 - q1) * cell.fu[j]);
      }
  }
}

struct Grid {
  int count, levels;  // points; levels of each plane
  const Level* level;
  int threads;

  int tasks() const { return kPlanes * levels; }
  int chunks() const { return (count + kChunk - 1) / kChunk; }
};

template <int F> void forward(const Grid& grid, const float* points, const float* tables, float* out) {
  const size_t stride = (size_t)padded(grid.count);
#pragma omp parallel for schedule(dynamic, 1) num_threads(grid.threads)
  for (int chunk = 0; chunk < grid.chunks(); chunk++) {  // its points stay in the cache while all tables pass
    const int first = chunk * kChunk, last = std::min(grid.count, first + kChunk);
    alignas(64) float at[kAxes][kChunk];
    lay_out(points, first, last, at[0], kChunk);
    for (int t = 0; t < grid.tasks(); t++) {
      const int plane = t / grid.levels;
      float* to = out + (size_t)t * F * stride + first;
      encode<F>(grid.level[t], at[kAxisU[plane]], at[kAxisV[plane]], last - first, tables, to, stride);
    }
  }
}

template <int F>
void backward(const Grid& grid, const float* points, const float* tables, const float* pull, float* at,
              float* g_tables, float* g_points) {
  const int tasks = grid.tasks();
  const size_t stride = (size_t)padded(grid.count);
#pragma omp parallel num_threads(grid.threads)
  {
#pragma omp for schedule(static)
    for (int chunk = 0; chunk < grid.chunks(); chunk++) {
      const int first = chunk * kChunk;
      lay_out(points, first, std::min(grid.count, first + kChunk), at + first, stride);
    }
#pragma omp for schedule(dynamic, 1) nowait
    for (int t = 0; t < tasks; t++) {
      const float *u = at + kAxisU[t / grid.levels] * stride, *v = at + kAxisV[t / grid.levels] * stride;
      float* own = g_tables + grid.level[t].offset * F;
      std::fill(own, own + (size_t)grid.level[t].size * F, 0.f);
      table_gradient<F>(grid.level[t], u, v, grid.count, pull + (size_t)t * F * stride, stride, g_tables);
    }
    if (g_points) {
#pragma omp for schedule(dynamic, 1)
      for (int chunk = 0; chunk < grid.chunks(); chunk++) {
        const int first = chunk * kChunk, last = std::min(grid.count, first + kChunk), n = last - first;
        alignas(64) float g[kAxes][kChunk] = {};
        for (int t = 0; t < tasks; t++) {
          const int a = kAxisU[t / grid.levels], b = kAxisV[t / grid.levels];
          point_gradient<F>(grid.level[t], at + a * stride + first, at + b * stride + first, n, tables,
                            pull + (size_t)t * F * stride + first, stride, g[a], g[b]);
        }
        for (int i = 0; i < n; i++)
          for (int axis = 0; axis < kAxes; axis++) g_points[kAxes * (size_t)(first + i) + axis] = g[axis][i];
      }
    }
  }
}

// Whether no point can read beyond its level's table.
bool sound(const Grid& grid) {
  if (grid.count < 0 || grid.levels < 1 || grid.threads < 1) return false;
  for (int t = 0; t < grid.tasks(); t++) {
    const Level& level = grid.level[t];
    if (level.cells < 1 || level.offset < 0 || level.size > kMostEntries) return false;
    const int64_t side = (int64_t)level.cells + 1;
    if ((level.dense ? side * side : (int64_t)level.mask + 1) > level.size) return false;
  }
  return true;
}

}  // namespace

// points [N, 3] in [0, 1]; out: 3 * levels * width rows of N floats, N rounded up to a multiple of
// 16; levels_of: 3 * levels entries.
GST_EXPORT int gst_hashgrid_forward(int count, int levels, int width, const void* levels_of, const float* points,
                                    const float* tables, float* out, int threads) {
  const Grid grid{count, levels, static_cast<const Level*>(levels_of), threads};
  if (!sound(grid)) return 1;
  switch (width) {
    case 1: forward<1>(grid, points, tables, out); return 0;
    case 2: forward<2>(grid, points, tables, out); return 0;
    case 4: forward<4>(grid, points, tables, out); return 0;
    case 8: forward<8>(grid, points, tables, out); return 0;
    default: return 2;
  }
}

// Writes g_tables, and g_points [N, 3] unless it is null. g_out: as the forward call's out;
// scratch: 3 such rows.
GST_EXPORT int gst_hashgrid_backward(int count, int levels, int width, const void* levels_of, const float* points,
                                     const float* tables, const float* g_out, float* scratch, float* g_tables,
                                     float* g_points, int threads) {
  const Grid grid{count, levels, static_cast<const Level*>(levels_of), threads};
  if (!sound(grid)) return 1;
  switch (width) {
    case 1: backward<1>(grid, points, tables, g_out, scratch, g_tables, g_points); return 0;
    case 2: backward<2>(grid, points, tables, g_out, scratch, g_tables, g_points); return 0;
    case 4: backward<4>(grid, points, tables, g_out, scratch, g_tables, g_points); return 0;
    case 8: backward<8>(grid, points, tables, g_out, scratch, g_tables, g_points); return 0;
    default: return 2;
  }
}
