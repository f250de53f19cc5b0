// L1 and SSIM of two pictures [H, W, 3], and the gradient, in two sweeps.
//
// A row of a channels-last picture is W*3 floats: the vertical window runs over rows, the
// horizontal one over every third float. SSIM is Wang et al. 2004: an 11-tap Gaussian window of
// deviation 1.5, zeros outside of the picture, as in 3DGS.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "export.h"

namespace {

constexpr int kTaps = 11, kReach = kTaps / 2, kChannels = 3, kMargin = kReach * kChannels + 1;
constexpr float kC1 = 1e-4f, kC2 = 9e-4f;  // (0.01)^2 and (0.03)^2, for values in [0, 1]
constexpr int kBand = 16;                  // picture rows per task

struct Window {
  float tap[kTaps];
  Window() {
    double weight[kTaps], sum = 0;
    for (int i = 0; i < kTaps; i++) sum += weight[i] = std::exp(-(i - kReach) * (i - kReach) / (2 * 1.5 * 1.5));
    for (int i = 0; i < kTaps; i++) tap[i] = (float)(weight[i] / sum);
  }
};

// Rows with zeros to both sides, so that the horizontal window needs no borders.
class Rows {
 public:
  Rows(int count, int length) : stride_(length + 2 * kMargin), data_((size_t)count * stride_, 0.f) {}
  float* operator[](int k) { return data_.data() + (size_t)k * stride_ + kMargin; }

 private:
  size_t stride_;
  std::vector<float> data_;
};

inline const float* row_or(const float* picture, int row, int height, int length, const float* zeros) {
  return row >= 0 && row < height ? picture + (size_t)row * length : zeros;
}

inline int thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

struct Sums { double l1 = 0, ssim = 0; };

// First sweep, one row: local means and second moments of x and y, then SSIM and its partial
// derivatives by the windowed x, x^2 and xy; the second sweep windows those again.
Sums measure_row(const Window& w, Rows& rows, const float* const* xs, const float* const* ys, const float* x,
                 const float* y, int length, float* d_mean, float* d_square, float* d_product) {
  float *mx = rows[0], *my = rows[1], *xx = rows[2], *yy = rows[3], *xy = rows[4];
  constexpr int kStep = 64;  // accumulators that fit the registers
  for (int i = 0; i < length; i += kStep) {
    const int n = std::min(kStep, length - i);
    float a[5][kStep] = {};
    for (int k = 0; k < kTaps; k++) {
      const float *px = xs[k] + i, *py = ys[k] + i;
      const float g = w.tap[k];
#pragma omp simd
      for (int j = 0; j < n; j++) {
        const float u = px[j], v = py[j], gu = g * u, gv = g * v;
        a[0][j] += gu, a[1][j] += gv, a[2][j] += gu * u, a[3][j] += gv * v, a[4][j] += gu * v;
      }
    }
    for (int k = 0; k < 5; k++) std::memcpy(rows[k] + i, a[k], sizeof(float) * (size_t)n);
  }
  float l1 = 0, ssim = 0;
  const float *t = w.tap;
#pragma omp simd reduction(+ : l1, ssim)
  for (int i = 0; i < length; i++) {
    float m1 = 0, m2 = 0, s11 = 0, s22 = 0, s12 = 0;
#pragma GCC unroll 11
    for (int k = 0; k < kTaps; k++) {
      const int at = i + (k - kReach) * kChannels;
      m1 += t[k] * mx[at], m2 += t[k] * my[at], s11 += t[k] * xx[at], s22 += t[k] * yy[at], s12 += t[k] * xy[at];
    }
    s11 -= m1 * m1, s22 -= m2 * m2, s12 -= m1 * m2;
    const float A = 2 * m1 * m2 + kC1, B = 2 * s12 + kC2;
    const float inverse_c = 1.f / (m1 * m1 + m2 * m2 + kC1), inverse_d = 1.f / (s11 + s22 + kC2);
    const float S = A * B * inverse_c * inverse_d;
    const float by_s11 = -S * inverse_d, by_s12 = 2 * A * inverse_c * inverse_d;
    d_square[i] = by_s11, d_product[i] = by_s12;
    d_mean[i] = 2 * m2 * B * inverse_c * inverse_d - 2 * m1 * S * inverse_c - 2 * m1 * by_s11 - m2 * by_s12;
    ssim += S;
    l1 += std::fabs(x[i] - y[i]);
  }
  return {l1, ssim};
}

}  // namespace

// loss[0] = mean |x - y|, loss[1] = mean SSIM. With a gradient: of
// (1 - dssim_weight) * loss[0] + dssim_weight * (1 - loss[1]) by x. scratch: 3 * H * W * 3 floats.
GST_EXPORT int gst_photometric(int height, int width, const float* x, const float* y, float dssim_weight,
                               float* gradient, float* scratch, double* loss, int threads) {
  if (height < 1 || width < 1 || threads < 1) return 1;
  const int length = width * kChannels, bands = (height + kBand - 1) / kBand;
  const size_t size = (size_t)height * length;
  float *d_mean = scratch, *d_square = scratch + size, *d_product = scratch + 2 * size;
  const Window w;
  try {  // all memory is taken here: nothing may throw among waiting threads
    std::vector<Sums> sums((size_t)bands);
    std::vector<Rows> rows_of((size_t)threads, Rows(5, length));
    const std::vector<float> zeros((size_t)length, 0.f);
#pragma omp parallel num_threads(threads)
    {
      Rows& rows = rows_of[(size_t)thread_number()];
#pragma omp for schedule(static)
      for (int band = 0; band < bands; band++)
        for (int r = band * kBand; r < std::min(height, (band + 1) * kBand); r++) {
          const float *xs[kTaps], *ys[kTaps];
          for (int k = 0; k < kTaps; k++) {
            xs[k] = row_or(x, r + k - kReach, height, length, zeros.data());
            ys[k] = row_or(y, r + k - kReach, height, length, zeros.data());
          }
          const size_t at = (size_t)r * length;
          const Sums s = measure_row(w, rows, xs, ys, x + at, y + at, length, d_mean + at, d_square + at, d_product + at);
          sums[(size_t)band].l1 += s.l1, sums[(size_t)band].ssim += s.ssim;
        }
      if (gradient) {
        const float scale = 1.f / (float)size;
#pragma omp for schedule(static)
        for (int band = 0; band < bands; band++)
          for (int r = band * kBand; r < std::min(height, (band + 1) * kBand); r++) {
            const float* maps[3] = {d_mean, d_square, d_product};
            for (int q = 0; q < 3; q++) {
              const float* p[kTaps];
              for (int k = 0; k < kTaps; k++) p[k] = row_or(maps[q], r + k - kReach, height, length, zeros.data());
              float* out = rows[q];
              const float* t = w.tap;
#pragma omp simd
              for (int i = 0; i < length; i++)
                out[i] = t[0] * (p[0][i] + p[10][i]) + t[1] * (p[1][i] + p[9][i]) + t[2] * (p[2][i] + p[8][i]) +
                         t[3] * (p[3][i] + p[7][i]) + t[4] * (p[4][i] + p[6][i]) + t[5] * p[5][i];
            }
            const float *a = rows[0], *b = rows[1], *c = rows[2], *px = x + (size_t)r * length, *py = y + (size_t)r * length;
            float* g = gradient + (size_t)r * length;
            const float* t = w.tap;
#pragma omp simd
            for (int i = 0; i < length; i++) {
              float u = 0, v = 0, z = 0;
#pragma GCC unroll 11
              for (int k = 0; k < kTaps; k++) {
                const int at = i + (k - kReach) * kChannels;
                u += t[k] * a[at], v += t[k] * b[at], z += t[k] * c[at];
              }
              const float d = px[i] - py[i], sign = d > 0 ? 1.f : (d < 0 ? -1.f : 0.f);
              g[i] = scale * ((1 - dssim_weight) * sign - dssim_weight * (u + 2 * px[i] * v + py[i] * z));
            }
          }
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
