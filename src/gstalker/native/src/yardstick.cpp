// What this machine can do at most, measured by the same compiler, flags and threads as the kernels:
// multiply-adds that never leave the registers, and arrays that never fit into a cache. The caller
// holds the clock; a checksum that can be worked out by hand shows that the work was done.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "export.h"

namespace {

// The compiler's own vectors of the native width, as in photometric.cpp.
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kLanes = kBytes / (int)sizeof(float);
typedef float Lanes __attribute__((vector_size(kBytes)));

// Twelve chains hide a latency of four cycles on up to three units; with the two constants they fit
// into the sixteen registers of AVX2.
constexpr int kChains = 12;
constexpr int64_t kBlock = 1 << 14;  // floats per task of a stream: short enough for exact partial sums
constexpr int kSums = 4;             // independent additions of a read

inline Lanes everywhere(float x) { return Lanes{} + x; }

inline Lanes read(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline double total(Lanes v) {
  double sum = 0;
  for (int i = 0; i < kLanes; i++) sum += (double)v[i];
  return sum;
}

// Chain c starts at c and becomes a * c + b, `rounds` times; the sum of the chains.
double chains(int64_t rounds, float a, float b) {
  const Lanes factor = everywhere(a), term = everywhere(b);
  Lanes x[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; c++) x[c] = everywhere((float)c);
  for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
    for (int c = 0; c < kChains; c++) x[c] = x[c] * factor + term;
  double sum = 0;
  for (int c = 0; c < kChains; c++) sum += total(x[c]);
  return sum / kLanes;
}

double sum_of(const float* p, int64_t count) {
  Lanes sum[kSums] = {};
  int64_t i = 0;
  for (; i + kSums * kLanes <= count; i += kSums * kLanes)
#pragma GCC unroll 4
    for (int k = 0; k < kSums; k++) sum[k] += read(p + i + k * kLanes);
  double rest = 0;
  for (; i < count; i++) rest += (double)p[i];
  for (int k = 0; k < kSums; k++) rest += total(sum[k]);
  return rest;
}

}  // namespace

// Every thread runs the chains. checksum: the sum of all chains of all threads, of one lane each.
// flop: multiplications and additions done, all lanes and threads.
GST_EXPORT int gst_yardstick_fma(int64_t rounds, float a, float b, int threads, double* checksum, double* flop) {
  if (rounds < 0 || threads < 1) return 1;
  double sum = 0;
#pragma omp parallel for schedule(static, 1) num_threads(threads) reduction(+ : sum)
  for (int t = 0; t < threads; t++) sum += chains(rounds, a, b);
  *checksum = sum;
  *flop = 2.0 * kChains * kLanes * (double)rounds * threads;
  return 0;
}

// Without `out`: reads x once. With it: out = x + s * y, the triad. checksum: the sum of x, or of
// nothing. bytes: what the program asks for; a cache that fetches what is about to be overwritten
// moves a third more.
GST_EXPORT int gst_yardstick_bandwidth(int64_t count, const float* x, const float* y, float s, float* out,
                                       int threads, double* checksum, double* bytes) {
  if (count < 0 || !x || (out && !y) || threads < 1) return 1;
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  double sum = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : sum)
  for (int64_t block = 0; block < blocks; block++) {
    const int64_t first = block * kBlock, last = std::min(count, first + kBlock);
    if (out) {
#pragma omp simd
      for (int64_t i = first; i < last; i++) out[i] = x[i] + s * y[i];
    } else {
      sum += sum_of(x + first, last - first);
    }
  }
  *checksum = sum;
  *bytes = (double)count * sizeof(float) * (out ? 3 : 1);
  return 0;
}
