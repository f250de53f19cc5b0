// Multi-resolution hash encoding (Mueller et al. 2022) in a grid of two or three axes, or in three
// planes of three axes (ER-NeRF).
//
// Feature (plane * levels + level) * width + f of a point is read from one table by linear
// interpolation. Points are first laid out coordinate by coordinate, so that sixteen of them are
// located and read at once. The backward pass gives each (plane, level) to one task, which owns its
// table: no atomics, and the same bits for any number of threads.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "export.h"

namespace {

constexpr int kMostAxes = 3;
constexpr int kPlane[3][2] = {{0, 1}, {1, 2}, {0, 2}};  // xy, yz, xz
constexpr uint32_t kPrime[kMostAxes] = {1u, 2654435761u, 805459861u};
constexpr int kLanes = 16, kChunk = 512;

template <int N> using Constant = std::integral_constant<int, N>;

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

// Where sixteen points lie along the axes of a grid.
template <int A> struct Columns {
  const float* axis[A];
  Columns from(int i) const {
    Columns moved = *this;
    for (int a = 0; a < A; a++) moved.axis[a] += i;
    return moved;
  }
};

// Sixteen points in one grid: their cell's corners, and where in the cell they lie.
template <int A> struct Cell {
  static constexpr int kCorners = 1 << A;  // bit a of a corner's number: the far end along axis a
  alignas(64) Entry corner[kCorners][kLanes];
  alignas(64) float share[A][kLanes], weight[kCorners][kLanes];

  // Not one loop with a test of `dense`: g++ then keeps both kinds of index and is slower.
  void locate(const Level& level, const Columns<A>& at) {
    if (level.dense)
      locate_as<true>(level, at);
    else
      locate_as<false>(level, at);
  }

 private:
  template <bool kDense> void locate_as(const Level& level, const Columns<A>& at) {
    const float cells = (float)level.cells;
    const int last = level.cells - 1;
    const uint32_t side = (uint32_t)level.cells + 1, mask = level.mask;
    const uint32_t step[kMostAxes] = {1u, kDense ? side : kPrime[1], kDense ? side * side : kPrime[2]};
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      float near[A], far[A];
      uint32_t low[A], high[A];
#pragma GCC unroll 3
      for (int a = 0; a < A; a++) {
        const float p = at.axis[a][j] * cells;
        int i = (int)p;
        i = i > last ? last : i;
        far[a] = p - (float)i, near[a] = 1.f - far[a];
        share[a][j] = far[a];
        low[a] = (uint32_t)i * step[a], high[a] = low[a] + step[a];
      }
#pragma GCC unroll 8
      for (int c = 0; c < kCorners; c++) {
        float w = c & 1 ? far[0] : near[0];
        uint32_t index = c & 1 ? high[0] : low[0];
#pragma GCC unroll 3
        for (int a = 1; a < A; a++) {
          const bool beyond = c >> a & 1;
          w *= beyond ? far[a] : near[a];
          const uint32_t own = beyond ? high[a] : low[a];
          index = kDense ? index + own : index ^ own;
        }
        weight[c][j] = w;
        corner[c][j] = (Entry)(kDense ? index : index & mask);
      }
    }
  }
};

inline float inside(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }  // a NaN goes to 0

inline int padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Points first..last as a column of `stride` for each axis, the rest up to a multiple of 16 zeros.
void lay_out(const float* points, int axes, int first, int last, float* columns, size_t stride) {
  for (int axis = 0; axis < axes; axis++) {
    float* column = columns + (size_t)axis * stride;
    const int n = last - first;
    for (int j = 0; j < n; j++) column[j] = inside(points[axes * (size_t)(first + j) + axis]);
    std::fill(column + n, column + padded(n), 0.f);
  }
}

// out: one feature's points after the other's, `stride` apart, room for a multiple of sixteen.
template <int A, int F>
void encode(const Level& level, const Columns<A>& at, int n, const float* tables, float* out, size_t stride) {
  const float* table = tables + level.offset * F;
  Cell<A> cell;
  for (int i = 0; i < n; i += kLanes) {
    cell.locate(level, at.from(i));
    for (int f = 0; f < F; f++)
#pragma omp simd
      for (int j = 0; j < kLanes; j++) {
        float sum = 0.f;
        for (int c = 0; c < cell.kCorners; c++) sum += cell.weight[c][j] * table[cell.corner[c][j] * F + f];
        out[f * stride + i + j] = sum;
      }
  }
}

// pull: the gradient, laid out as encode's output.
template <int A, int F>
void table_gradient(const Level& level, const Columns<A>& at, int n, const float* pull, size_t stride,
                    float* g_tables) {
  constexpr int kCorners = Cell<A>::kCorners;
  float* __restrict table = g_tables + level.offset * F;
  alignas(64) float share[F][kCorners][kLanes];
  Cell<A> cell;
  for (int i = 0; i < n; i += kLanes) {
    cell.locate(level, at.from(i));
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

// Adds to the gradients along the grid's axes.
template <int A, int F>
void point_gradient(const Level& level, const Columns<A>& at, int n, const float* tables, const float* pull,
                    size_t stride, float* const (&g_at)[A]) {
  constexpr int kCorners = Cell<A>::kCorners;
  const float* table = tables + level.offset * F;
  const float cells = (float)level.cells;
  Cell<A> cell;
  for (int i = 0; i < n; i += kLanes) {
    cell.locate(level, at.from(i));
    for (int f = 0; f < F; f++)
#pragma omp simd
      for (int j = 0; j < kLanes; j++) {
        float q[kCorners];
        for (int c = 0; c < kCorners; c++) q[c] = table[cell.corner[c][j] * F + f];
        const float g = pull[f * stride + i + j] * cells;
#pragma GCC unroll 3
        for (int a = 0; a < A; a++) {
          float slope = 0.f;
#pragma GCC unroll 8
          for (int c = 0; c < kCorners; c++) {
            if (c >> a & 1) continue;
            float rise = q[c | 1 << a] - q[c];
#pragma GCC unroll 3
            for (int b = 0; b < A; b++)
              if (b != a) rise *= c >> b & 1 ? cell.share[b][j] : 1.f - cell.share[b][j];
            slope += rise;
          }
          g_at[a][i + j] += g * slope;
        }
      }
  }
}

struct Grid {
  int count, planes, axes, levels;  // points; planes; a point's coordinates; levels of each plane
  const Level* level;
  int threads;

  int tasks() const { return planes * levels; }
  int chunks() const { return (count + kChunk - 1) / kChunk; }
  // Which of a point's coordinates is axis a of a task's grid.
  int coordinate(int task, int a) const { return planes == 1 ? a : kPlane[task / levels][a]; }
  int sides() const { return planes == 1 ? axes : 2; }  // of a level's grid
};

// A task's columns among those of all coordinates, which lie `stride` apart.
template <int A> Columns<A> columns_of(const Grid& grid, int task, const float* at, size_t stride) {
  Columns<A> own;
  for (int a = 0; a < A; a++) own.axis[a] = at + (size_t)grid.coordinate(task, a) * stride;
  return own;
}

template <int A, int F> void forward(const Grid& grid, const float* points, const float* tables, float* out) {
  const size_t stride = (size_t)padded(grid.count);
#pragma omp parallel for schedule(dynamic, 1) num_threads(grid.threads)
  for (int chunk = 0; chunk < grid.chunks(); chunk++) {  // its points stay in the cache while all tables pass
    const int first = chunk * kChunk, last = std::min(grid.count, first + kChunk);
    alignas(64) float at[kMostAxes][kChunk];
    lay_out(points, grid.axes, first, last, at[0], kChunk);
    for (int t = 0; t < grid.tasks(); t++) {
      float* to = out + (size_t)t * F * stride + first;
      encode<A, F>(grid.level[t], columns_of<A>(grid, t, at[0], kChunk), last - first, tables, to, stride);
    }
  }
}

template <int A, int F>
void backward(const Grid& grid, const float* points, const float* tables, const float* pull, float* at,
              float* g_tables, float* g_points) {
  const int tasks = grid.tasks();
  const size_t stride = (size_t)padded(grid.count);
#pragma omp parallel num_threads(grid.threads)
  {
#pragma omp for schedule(static)
    for (int chunk = 0; chunk < grid.chunks(); chunk++) {
      const int first = chunk * kChunk;
      lay_out(points, grid.axes, first, std::min(grid.count, first + kChunk), at + first, stride);
    }
#pragma omp for schedule(dynamic, 1) nowait
    for (int t = 0; t < tasks; t++) {
      float* own = g_tables + grid.level[t].offset * F;
      std::fill(own, own + (size_t)grid.level[t].size * F, 0.f);
      table_gradient<A, F>(grid.level[t], columns_of<A>(grid, t, at, stride), grid.count,
                           pull + (size_t)t * F * stride, stride, g_tables);
    }
    if (g_points) {
#pragma omp for schedule(dynamic, 1)
      for (int chunk = 0; chunk < grid.chunks(); chunk++) {
        const int first = chunk * kChunk, last = std::min(grid.count, first + kChunk), n = last - first;
        alignas(64) float g[kMostAxes][kChunk] = {};
        for (int t = 0; t < tasks; t++) {
          float* g_at[A];
          for (int a = 0; a < A; a++) g_at[a] = g[grid.coordinate(t, a)];
          point_gradient<A, F>(grid.level[t], columns_of<A>(grid, t, at + first, stride), n, tables,
                               pull + (size_t)t * F * stride + first, stride, g_at);
        }
        for (int i = 0; i < n; i++)
          for (int axis = 0; axis < grid.axes; axis++)
            g_points[grid.axes * (size_t)(first + i) + axis] = g[axis][i];
      }
    }
  }
}

// Whether no point can read beyond its level's table.
bool sound(const Grid& grid) {
  if (grid.count < 0 || grid.levels < 1 || grid.threads < 1) return false;
  if (grid.planes == 3 ? grid.axes != 3 : grid.planes != 1 || (grid.axes != 2 && grid.axes != 3)) return false;
  for (int t = 0; t < grid.tasks(); t++) {
    const Level& level = grid.level[t];
    if (level.cells < 1 || level.offset < 0 || level.size > kMostEntries) return false;
    int64_t entries = (int64_t)level.mask + 1;
    if (level.dense) {
      entries = 1;
      for (int a = 0; a < grid.sides() && entries <= level.size; a++) entries *= (int64_t)level.cells + 1;
    }
    if (entries > level.size) return false;
  }
  return true;
}

// Calls work(A, F), the grid's axes and the features of an entry as constants.
template <class Work> int with_sizes(const Grid& grid, int width, const Work& work) {
  const auto wide = [&](auto axes) {
    switch (width) {
      case 1: work(axes, Constant<1>()); return 0;
      case 2: work(axes, Constant<2>()); return 0;
      case 4: work(axes, Constant<4>()); return 0;
      case 8: work(axes, Constant<8>()); return 0;
      default: return 2;
    }
  };
  return grid.sides() == 2 ? wide(Constant<2>()) : wide(Constant<3>());
}

}  // namespace

// points [N, axes] in [0, 1]; out: planes * levels * width rows of N floats, N rounded up to a
// multiple of 16; levels_of: planes * levels entries. Three planes have three axes, one has two or three.
GST_EXPORT int gst_hashgrid_forward(int count, int planes, int axes, int levels, int width, const void* levels_of,
                                    const float* points, const float* tables, float* out, int threads) {
  const Grid grid{count, planes, axes, levels, static_cast<const Level*>(levels_of), threads};
  if (!sound(grid)) return 1;
  return with_sizes(grid, width, [&](auto a, auto f) {
    forward<decltype(a)::value, decltype(f)::value>(grid, points, tables, out);
  });
}

// Writes g_tables, and g_points [N, axes] unless it is null. g_out: as the forward call's out;
// scratch: a row for each axis.
GST_EXPORT int gst_hashgrid_backward(int count, int planes, int axes, int levels, int width, const void* levels_of,
                                     const float* points, const float* tables, const float* g_out, float* scratch,
                                     float* g_tables, float* g_points, int threads) {
  const Grid grid{count, planes, axes, levels, static_cast<const Level*>(levels_of), threads};
  if (!sound(grid)) return 1;
  return with_sizes(grid, width, [&](auto a, auto f) {
    backward<decltype(a)::value, decltype(f)::value>(grid, points, tables, g_out, scratch, g_tables, g_points);
  });
}
