// A perceptron of three layers, ReLU between them, over many rows at once, with its way back.
//
// Rows go through in blocks whose activations stay in the second-level cache; the way back makes
// them again instead of reading them from memory. Gradients of the weights are summed over a fixed
// number of segments of the rows, then over the segments: the same bits for any number of threads.
#include <algorithm>
#include <cfloat>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#include "export.h"
#include "raster.h"
#include "simd.h"

namespace {

using namespace gst;

constexpr int kRows = 96;      // of a block
constexpr int kSegments = 16;  // more would only cost memory: two to sixteen threads share them
constexpr int kWidest = 128;   // of a layer
#if defined(__AVX512F__)
constexpr int kAcross = 4;     // vectors of a row that are accumulated together
constexpr int kRegisters = 24; // for sums
#else
constexpr int kAcross = 1;
constexpr int kRegisters = 6;  // of sixteen lanes, two of the processor's each
#endif

inline int padded(int width) { return (width + kLanes - 1) / kLanes * kLanes; }

// What becomes of a product's numbers before they are stored.
struct Plain {
  GST_INLINE F16 of(F16 x, const float*) { return x; }
};
struct Rectified {
  GST_INLINE F16 of(F16 x, const float*) { return max(x, set(0.f)); }
};
struct WherePositive {  // of another array with rows as wide
  GST_INLINE F16 of(F16 x, const float* other) { return where(at_least(load(other), set(FLT_MIN)), x); }
};

// C[R x 16 V] (+)= A B over `depth`, where A(r, k) is a[r * row_step + k * depth_step].
// Every loop over sums is unrolled, else g++ keeps them on the stack before and after the products.
template <int R, int V, bool kAdd, class Finish>
GST_INLINE void tile(const float* a, ptrdiff_t row_step, ptrdiff_t depth_step, const float* b, int width, float* c,
                     int depth, const float* bias, const float* other) {
  F16 sum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int v = 0; v < V; v++)
      sum[r][v] = kAdd ? load(c + (ptrdiff_t)r * width + kLanes * v) : bias ? load(bias + kLanes * v) : set(0.f);
  for (int k = 0; k < depth; k++) {
    F16 across[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) across[v] = load(b + (ptrdiff_t)k * width + kLanes * v);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const F16 s = set(a[r * row_step + k * depth_step]);
#pragma GCC unroll 8
      for (int v = 0; v < V; v++) sum[r][v] = fma(s, across[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) {
      const ptrdiff_t at = (ptrdiff_t)r * width + kLanes * v;
      store(c + at, Finish::of(sum[r][v], other + at));
    }
}

template <int V, bool kAdd, class Finish>
void strip(int rows, const float* a, ptrdiff_t row_step, ptrdiff_t depth_step, const float* b, int width, float* c,
           int depth, const float* bias, const float* other) {
  constexpr int R = std::min(kRegisters / V, 8);
  int r = 0;
  const auto next = [&](auto rows_at_once) {
    constexpr int K = decltype(rows_at_once)::value;
    const ptrdiff_t at = (ptrdiff_t)r * width;
    tile<K, V, kAdd, Finish>(a + r * row_step, row_step, depth_step, b, width, c + at, depth, bias, other + at);
    r += K;
  };
  while (r + R <= rows) next(std::integral_constant<int, R>());
  while (r + 4 <= rows) next(std::integral_constant<int, 4>());  // sixty-four rows are ten sixes and a four
  while (r < rows) next(std::integral_constant<int, 1>());
}

// C [rows x width] (+)= A B, B and C with rows of `width`, a multiple of 16.
template <bool kAdd, class Finish = Plain>
void product(int rows, int depth, int width, const float* a, ptrdiff_t row_step, ptrdiff_t depth_step, const float* b,
             float* c, const float* bias, const float* other = nullptr) {
  for (int at = 0; at < width;) {
    const int vectors = std::min(kAcross, (width - at) / kLanes);
    const float* own_bias = bias ? bias + at : nullptr;
    const float* own_other = (other ? other : c) + at;
    const auto go = [&](auto v) {
      constexpr int V = decltype(v)::value;
      strip<V, kAdd, Finish>(rows, a, row_step, depth_step, b + at, width, c + at, depth, own_bias, own_other);
    };
    if (vectors == 4) go(std::integral_constant<int, 4>());
    else if (vectors == 3) go(std::integral_constant<int, 3>());
    else if (vectors == 2) go(std::integral_constant<int, 2>());
    else go(std::integral_constant<int, 1>());
    at += vectors * kLanes;
  }
}

void add_rows(const float* x, int rows, int width, float* sum) {
  for (int at = 0; at < width; at += kLanes) {
    F16 all = load(sum + at);
    for (int r = 0; r < rows; r++) all = all + load(x + (ptrdiff_t)r * width + at);
    store(sum + at, all);
  }
}

struct Sizes { int in, hidden, out; };

// Weights as torch keeps them, [to][from], and laid out as the products read them: rows padded.
struct Layers {
  int in, hidden, out, in_pad, out_pad;
  Buffer<float> store;
  float *w1, *b1, *w2, *b2, *w3, *b3;        // [from][to]
  float *w1_back, *w2_back, *w3_back;        // [to][from]

  Layers(Sizes s, const float* const* given)
      : in(s.in), hidden(s.hidden), out(s.out), in_pad(padded(s.in)), out_pad(padded(s.out)) {
    const int sizes[] = {in * hidden,     hidden,          hidden * hidden, hidden,           hidden * out_pad,
                         out_pad,         hidden * in_pad, hidden * hidden, out_pad * hidden};
    float** parts[] = {&w1, &b1, &w2, &b2, &w3, &b3, &w1_back, &w2_back, &w3_back};
    size_t total = 0;
    for (int size : sizes) total += (size_t)padded(size);
    float* at = store.reserve(total);
    std::fill(at, at + total, 0.f);
    for (int k = 0; k < 9; k++) *parts[k] = at, at += padded(sizes[k]);
    for (int o = 0; o < hidden; o++)
      for (int i = 0; i < in; i++) w1[i * hidden + o] = w1_back[o * in_pad + i] = given[0][o * in + i];
    for (int o = 0; o < hidden; o++)
      for (int i = 0; i < hidden; i++) w2[i * hidden + o] = w2_back[o * hidden + i] = given[2][o * hidden + i];
    for (int o = 0; o < out; o++)
      for (int i = 0; i < hidden; i++) w3[i * out_pad + o] = w3_back[o * hidden + i] = given[4][o * hidden + i];
    std::memcpy(b1, given[1], sizeof(float) * (size_t)hidden);
    std::memcpy(b2, given[3], sizeof(float) * (size_t)hidden);
    std::memcpy(b3, given[5], sizeof(float) * (size_t)out);
  }
};

// Rows of a tensor [count, width] that may be kept row by row or column by column.
template <class T> struct Strided {
  T* data;  // may be null
  ptrdiff_t row, column;
  Strided from(int first) const { return {data ? data + first * row : nullptr, row, column}; }
};
using Rows = Strided<const float>;

// Both hidden layers' activations of one block.
void hidden_layers(const Layers& net, const Rows& x, int n, float* h1, float* h2) {
  product<false, Rectified>(n, net.in, net.hidden, x.data, x.row, x.column, net.w1, h1, net.b1);
  product<false, Rectified>(n, net.hidden, net.hidden, h1, net.hidden, 1, net.w2, h2, net.b2);
}

// A segment's gradients of the weights: [from][to], then the biases, each part padded.
struct Sums {
  float *w1, *b1, *w2, *b2, *w3, *b3;
  static size_t size(const Layers& n) {
    return (size_t)n.in_pad * n.hidden + n.hidden * n.hidden + n.hidden * n.out_pad + 2 * n.hidden + n.out_pad;
  }
  Sums(const Layers& n, float* at) {
    w1 = at, w2 = w1 + n.in_pad * n.hidden, w3 = w2 + n.hidden * n.hidden;
    b1 = w3 + n.hidden * n.out_pad, b2 = b1 + n.hidden, b3 = b2 + n.hidden;
  }
};

void block_backward(const Layers& net, const Rows& x, const float* g_y, int n, Sums& sums,
                    const Strided<float>& g_x) {
  alignas(64) float h1[kRows * kWidest], h2[kRows * kWidest], d1[kRows * kWidest], d2[kRows * kWidest];
  alignas(64) float d3[kRows * kWidest];
  const int hidden = net.hidden;
  hidden_layers(net, x, n, h1, h2);
  for (int r = 0; r < n; r++) {
    std::memcpy(d3 + r * net.out_pad, g_y + (ptrdiff_t)r * net.out, sizeof(float) * (size_t)net.out);
    std::fill(d3 + r * net.out_pad + net.out, d3 + (r + 1) * net.out_pad, 0.f);
  }
  add_rows(d3, n, net.out_pad, sums.b3);
  product<true>(hidden, n, net.out_pad, h2, 1, hidden, d3, sums.w3, nullptr);
  product<false, WherePositive>(n, net.out, hidden, d3, net.out_pad, 1, net.w3_back, d2, nullptr, h2);
  add_rows(d2, n, hidden, sums.b2);
  product<true>(hidden, n, hidden, h1, 1, hidden, d2, sums.w2, nullptr);
  product<false, WherePositive>(n, hidden, hidden, d2, hidden, 1, net.w2_back, d1, nullptr, h1);
  add_rows(d1, n, hidden, sums.b1);
  product<true>(net.in, n, hidden, x.data, x.column, x.row, d1, sums.w1, nullptr);
  if (!g_x.data) return;
  product<false>(n, hidden, net.in_pad, d1, hidden, 1, net.w1_back, d3, nullptr);
  for (int k = 0; k < net.in; k++)
    for (int r = 0; r < n; r++) g_x.data[r * g_x.row + k * g_x.column] = d3[r * net.in_pad + k];
}

// Adds the segments in order and turns [from][to] into torch's [to][from].
void gather_sums(const Layers& net, float* all, int segments, float* const* out) {
  const size_t size = Sums::size(net);
  for (int s = 1; s < segments; s++)
    for (size_t i = 0; i < size; i++) all[i] += all[s * size + i];
  const Sums total(net, all);
  for (int o = 0; o < net.hidden; o++)
    for (int i = 0; i < net.in; i++) out[0][o * net.in + i] = total.w1[i * net.hidden + o];
  for (int o = 0; o < net.hidden; o++)
    for (int i = 0; i < net.hidden; i++) out[2][o * net.hidden + i] = total.w2[i * net.hidden + o];
  for (int o = 0; o < net.out; o++)
    for (int i = 0; i < net.hidden; i++) out[4][o * net.hidden + i] = total.w3[i * net.out_pad + o];
  std::memcpy(out[1], total.b1, sizeof(float) * (size_t)net.hidden);
  std::memcpy(out[3], total.b2, sizeof(float) * (size_t)net.hidden);
  std::memcpy(out[5], total.b3, sizeof(float) * (size_t)net.out);
}

enum Status { kOk = 0, kBadSize = 1, kNoMemory = 2 };

bool fits(int count, Sizes s, int threads) {
  return count >= 0 && threads >= 1 && s.in >= 1 && s.in <= kWidest && s.hidden >= kLanes && s.hidden <= kWidest &&
         s.hidden % kLanes == 0 && s.out >= 1 && s.out <= kWidest;
}

}  // namespace

// y [count, out] of x [count, in], whose neighbours along a row and down a column are so far apart;
// weights: w1, b1, w2, b2, w3, b3 as torch's Linear keeps them.
GST_EXPORT int gst_mlp_forward(int count, int in, int hidden, int out, const float* x, int64_t row, int64_t column,
                               const float* const* weights, float* y, int threads) {
  const Sizes sizes{in, hidden, out};
  const Rows all{x, (ptrdiff_t)row, (ptrdiff_t)column};
  if (!fits(count, sizes, threads)) return kBadSize;
  try {
    const Layers net(sizes, weights);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int first = 0; first < count; first += kRows) {
      const int n = std::min(kRows, count - first);
      alignas(64) float h1[kRows * kWidest], h2[kRows * kWidest];
      hidden_layers(net, all.from(first), n, h1, h2);
      product<false>(n, hidden, net.out_pad, h2, hidden, 1, net.w3, h1, net.b3);
      for (int r = 0; r < n; r++)
        std::memcpy(y + (ptrdiff_t)(first + r) * out, h1 + r * net.out_pad, sizeof(float) * (size_t)out);
    }
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
  return kOk;
}

// Gradients from g_y [count, out]: g_x (may be null) and those of the weights, in order.
GST_EXPORT int gst_mlp_backward(int count, int in, int hidden, int out, const float* x, int64_t row, int64_t column,
                                const float* const* weights, const float* g_y, float* g_x, int64_t g_row,
                                int64_t g_column, float* const* g_weights, int threads) {
  const Sizes sizes{in, hidden, out};
  const Rows all{x, (ptrdiff_t)row, (ptrdiff_t)column};
  const Strided<float> pull{g_x, (ptrdiff_t)g_row, (ptrdiff_t)g_column};
  if (!fits(count, sizes, threads)) return kBadSize;
  try {
    const Layers net(sizes, weights);
    const size_t size = Sums::size(net);
    Buffer<float> sums;
    float* totals = sums.reserve(size * kSegments);
    const int blocks = (count + kRows - 1) / kRows, each = (blocks + kSegments - 1) / kSegments;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int s = 0; s < kSegments; s++) {
      float* mine = totals + s * size;
      std::fill(mine, mine + size, 0.f);
      Sums at(net, mine);
      for (int b = s * each; b < std::min(blocks, (s + 1) * each); b++) {
        const int first = b * kRows, n = std::min(kRows, count - first);
        block_backward(net, all.from(first), g_y + (ptrdiff_t)first * out, n, at, pull.from(first));
      }
    }
    gather_sums(net, totals, kSegments, g_weights);
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
  return kOk;
}
