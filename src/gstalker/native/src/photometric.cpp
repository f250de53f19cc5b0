// L1 and SSIM of two pictures [H, W, 3], and the gradient, in two sweeps.
//
// A row of a channels-last picture is W*3 floats: the vertical window runs over rows, the
// horizontal one over every third float. SSIM is Wang et al. 2004: an 11-tap Gaussian window of
// deviation 1.5, zeros outside of the picture, as in 3DGS. The two variances enter SSIM only as
// their sum, so four windowed maps do: x, y, x^2 + y^2 and xy.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "export.h"

namespace {

constexpr int kTaps = 11, kReach = kTaps / 2, kChannels = 3;
constexpr double kDeviation = 1.5;
constexpr float kC1 = 1e-4f, kC2 = 9e-4f;  // (0.01)^2 and (0.03)^2, for values in [0, 1]
constexpr int kBand = 16;                  // picture rows per task
constexpr int kMaps = 4, kPartials = 3;

// The compiler's own vectors of the native width, for the windows: left to itself, g++ 12 turns
// the loop over taps into gathers.
#if defined(__AVX512F__)
constexpr int kBytes = 64, kWide = 4;
#elif defined(__AVX2__)
constexpr int kBytes = 32, kWide = 2;
#else
constexpr int kBytes = 16, kWide = 2;
#endif
constexpr int kLanes = kBytes / (int)sizeof(float);
typedef float Lanes __attribute__((vector_size(kBytes)));

inline Lanes read(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void write(float* p, Lanes v) { std::memcpy(p, &v, sizeof v); }

struct Window {
  float tap[kTaps];
  Window() {
    double weight[kTaps], sum = 0;
    for (int i = 0; i < kTaps; i++)
      sum += weight[i] = std::exp(-(i - kReach) * (i - kReach) / (2 * kDeviation * kDeviation));
    for (int i = 0; i < kTaps; i++) tap[i] = (float)(weight[i] / sum);
  }
};

// One row of each map, zeros to both sides: the horizontal window then needs no borders and works in
// whole vectors.
class Rows {
 public:
  explicit Rows(int length)
      : whole_((length + kLanes - 1) / kLanes * kLanes),
        stride_((size_t)(whole_ + 2 * kMargin)),
        data_(2 * kMaps * stride_ + kAlign, 0.f) {}

  int whole() const { return whole_; }  // the length, in whole vectors
  float* columns(int map) { return start() + (size_t)map * stride_; }
  float* windowed(int map) { return start() + (size_t)(kMaps + map) * stride_; }

  // windowed(map) from columns(map).
  void window(const Window& w, int map) {
    const float* in = columns(map);
    float* out = windowed(map);
    for (int i = 0; i < whole_; i += kLanes) {
      const float* p = in + i;
      Lanes sum = read(p) * w.tap[kReach];
#pragma GCC unroll 5
      for (int k = 1; k <= kReach; k++) sum += (read(p - k * kChannels) + read(p + k * kChannels)) * w.tap[kReach - k];
      write(out + i, sum);
    }
  }

 private:
  static constexpr int kAlign = 16, kMargin = (kReach * kChannels + kAlign - 1) / kAlign * kAlign;
  float* start() {
    const size_t past = reinterpret_cast<uintptr_t>(data_.data()) / sizeof(float) % kAlign;
    return data_.data() + (past ? kAlign - past : 0) + kMargin;
  }
  int whole_;
  size_t stride_;
  std::vector<float> data_;
};

// A picture, or a map of its size: rows outside of it are zeros.
struct Plane {
  const float* data;
  int height, length;
  const float* zeros;

  const float* row(int r) const { return r >= 0 && r < height ? data + (size_t)r * length : zeros; }
  void around(int r, const float** rows) const {
    for (int k = 0; k < kTaps; k++) rows[k] = row(r + k - kReach);
  }
};

inline int thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// The vertical window of all four maps, for `kVectors` vectors of columns whose sums stay in registers.
template <int kVectors>
inline void moments(const Window& w, const float* const* xs, const float* const* ys, int i, Rows& rows) {
  Lanes sum[kMaps][kVectors] = {};
  for (int k = 0; k < kTaps; k++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) {
      const Lanes u = read(xs[k] + i + j * kLanes), v = read(ys[k] + i + j * kLanes);
      const Lanes gu = u * w.tap[k], gv = v * w.tap[k];
      sum[0][j] += gu, sum[1][j] += gv, sum[2][j] += gu * u, sum[2][j] += gv * v, sum[3][j] += gu * v;
    }
#pragma GCC unroll 4
  for (int m = 0; m < kMaps; m++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) write(rows.columns(m) + i + j * kLanes, sum[m][j]);
}

void moments_of_column(const Window& w, const float* const* xs, const float* const* ys, int i, Rows& rows) {
  float sum[kMaps] = {};
  for (int k = 0; k < kTaps; k++) {
    const float u = xs[k][i], v = ys[k][i], g = w.tap[k];
    sum[0] += g * u, sum[1] += g * v, sum[2] += g * (u * u + v * v), sum[3] += g * u * v;
  }
  for (int m = 0; m < kMaps; m++) rows.columns(m)[i] = sum[m];
}

template <int kVectors> inline void column_sums(const Window& w, const float* const* p, int i, float* out) {
  Lanes sum[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; j++) sum[j] = read(p[kReach] + i + j * kLanes) * w.tap[kReach];
#pragma GCC unroll 5
  for (int k = 0; k < kReach; k++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++)
      sum[j] += (read(p[k] + i + j * kLanes) + read(p[kTaps - 1 - k] + i + j * kLanes)) * w.tap[k];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; j++) write(out + i + j * kLanes, sum[j]);
}

struct Sums { double l1 = 0, ssim = 0; };

// First sweep, one row: SSIM and, in `partial`, its derivatives by the windowed x, x^2 and xy; the
// second sweep windows those again.
Sums measure_row(const Window& w, const Plane& x, const Plane& y, int r, Rows& rows, float* const* partial) {
  const int length = x.length;
  const float *xs[kTaps], *ys[kTaps];
  x.around(r, xs), y.around(r, ys);
  int i = 0;
  for (; i + kWide * kLanes <= length; i += kWide * kLanes) moments<kWide>(w, xs, ys, i, rows);
  for (; i + kLanes <= length; i += kLanes) moments<1>(w, xs, ys, i, rows);
  for (; i < length; i++) moments_of_column(w, xs, ys, i, rows);
  for (int m = 0; m < kMaps; m++) rows.window(w, m);

  const float *mean_x = rows.windowed(0), *mean_y = rows.windowed(1), *squares = rows.windowed(2);
  const float *products = rows.windowed(3), *px = x.row(r), *py = y.row(r);
  const size_t at = (size_t)r * length;
  float *by_mean = partial[0] + at, *by_square = partial[1] + at, *by_product = partial[2] + at;
  float l1 = 0, ssim = 0;
#pragma omp simd reduction(+ : l1, ssim)
  for (int j = 0; j < length; j++) {
    const float mx = mean_x[j], my = mean_y[j], means = mx * mx + my * my, both = mx * my;
    const float A = 2 * both + kC1, B = 2 * (products[j] - both) + kC2;
    const float inverse_c = 1.f / (means + kC1), inverse_d = 1.f / (squares[j] - means + kC2);
    const float a = A * inverse_c * inverse_d, S = a * B;
    // by the variance and the covariance first; the means reach SSIM through them as well
    const float by_variance = -S * inverse_d, by_covariance = 2 * a;
    by_square[j] = by_variance, by_product[j] = by_covariance;
    by_mean[j] = 2 * my * B * inverse_c * inverse_d - 2 * mx * (S * inverse_c + by_variance) - my * by_covariance;
    ssim += S;
    l1 += std::fabs(px[j] - py[j]);
  }
  return {l1, ssim};
}

// Second sweep, one row: the loss's gradient by x.
void differentiate_row(const Window& w, const Plane& x, const Plane& y, const Plane* partial, int r, Rows& rows,
                       float l1_scale, float ssim_scale, float* gradient) {
  const int length = x.length;
  for (int m = 0; m < kPartials; m++) {
    const float* p[kTaps];
    partial[m].around(r, p);
    float* out = rows.columns(m);
    int i = 0;
    for (; i + kWide * kLanes <= length; i += kWide * kLanes) column_sums<kWide>(w, p, i, out);
    for (; i + kLanes <= length; i += kLanes) column_sums<1>(w, p, i, out);
    for (; i < length; i++) {
      out[i] = 0;
      for (int k = 0; k < kTaps; k++) out[i] += w.tap[k] * p[k][i];
    }
    rows.window(w, m);
  }
  const float *by_mean = rows.windowed(0), *by_square = rows.windowed(1), *by_product = rows.windowed(2);
  const float *px = x.row(r), *py = y.row(r);
  float* g = gradient + (size_t)r * length;
#pragma omp simd
  for (int j = 0; j < length; j++) {
    const float d = px[j] - py[j], sign = d > 0 ? 1.f : (d < 0 ? -1.f : 0.f);
    g[j] = l1_scale * sign + ssim_scale * (by_mean[j] + 2 * px[j] * by_square[j] + py[j] * by_product[j]);
  }
}

}  // namespace

// loss[0] = mean |x - y|, loss[1] = mean SSIM. With a gradient: of
// (1 - dssim_weight) * loss[0] + dssim_weight * (1 - loss[1]) by x. scratch: 3 * H * W * 3 floats.
GST_EXPORT int gst_photometric(int height, int width, const float* x_data, const float* y_data, float dssim_weight,
                               float* gradient, float* scratch, double* loss, int threads) {
  constexpr int kWidest = 1 << 24;
  if (height < 1 || width < 1 || width > kWidest || threads < 1) return 1;
  const int length = width * kChannels, bands = (height + kBand - 1) / kBand;
  const size_t size = (size_t)height * length;
  const Window w;
  try {  // all memory is taken here: nothing may throw among waiting threads
    std::vector<Sums> sums((size_t)bands);
    std::vector<Rows> rows_of((size_t)threads, Rows(length));
    const std::vector<float> zeros((size_t)length, 0.f);
    const Plane x{x_data, height, length, zeros.data()}, y{y_data, height, length, zeros.data()};
    float* partial[kPartials] = {scratch, scratch + size, scratch + 2 * size};
    Plane partials[kPartials];
    for (int m = 0; m < kPartials; m++) partials[m] = {partial[m], height, length, zeros.data()};
    const float l1_scale = (1 - dssim_weight) / (float)size, ssim_scale = -dssim_weight / (float)size;
#pragma omp parallel num_threads(threads)
    {
      Rows& rows = rows_of[(size_t)thread_number()];
#pragma omp for schedule(static)
      for (int band = 0; band < bands; band++)
        for (int r = band * kBand; r < std::min(height, (band + 1) * kBand); r++) {
          const Sums s = measure_row(w, x, y, r, rows, partial);
          sums[(size_t)band].l1 += s.l1, sums[(size_t)band].ssim += s.ssim;
        }
      if (gradient) {
#pragma omp for schedule(static)
        for (int band = 0; band < bands; band++)
          for (int r = band * kBand; r < std::min(height, (band + 1) * kBand); r++)
            differentiate_row(w, x, y, partials, r, rows, l1_scale, ssim_scale, gradient);
      }
    }
    Sums total;
    for (const Sums& s : sums) total.l1 += s.l1, total.ssim += s.ssim;
    loss[0] = total.l1 / (double)size, loss[1] = total.ssim / (double)size;
  } catch (const std::bad_alloc&) {
    return 2;
  }
  return 0;
}
