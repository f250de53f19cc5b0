// L1 and SSIM of two pictures [H, W, 3], and the gradient, in one sweep.
//
// A row of a channels-last picture is W*3 floats: the vertical window runs over rows, the
// horizontal one over every third float. SSIM is Wang et al. 2004: an 11-tap Gaussian window of
// deviation 1.5, zeros outside of the picture, as in 3DGS. The two variances enter SSIM only as
// their sum, so four windowed maps do: x, y, x^2 + y^2 and xy.
//
// A thread walks down its own rows. SSIM's derivatives stay in a ring of rows, and the gradient
// follows a few rows behind: between two threads' rows those of a window are computed twice, and
// the maps never leave the cache. A few rows are summed at once, so that what is read serves all.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "export.h"

namespace {

constexpr int kTaps = 11, kReach = kTaps / 2, kChannels = 3;
constexpr double kDeviation = 1.5;
constexpr float kC1 = 1e-4f, kC2 = 9e-4f;  // (0.01)^2 and (0.03)^2, for values in [0, 1]
constexpr int kFewestRows = 16;            // of a thread: below, the rows computed twice do not pay
constexpr int kMaps = 4, kPartials = 3;

// The compiler's own vectors of the native width, for the windows: left to itself, g++ 12 turns
// the loop over taps into gathers. `kGroup` rows of sums fit the registers.
#if defined(__AVX512F__)
constexpr int kBytes = 64, kGroup = 4;
#elif defined(__AVX2__)
constexpr int kBytes = 32, kGroup = 2;
#else
constexpr int kBytes = 16, kGroup = 2;
#endif
constexpr int kLanes = kBytes / (int)sizeof(float);
constexpr int kTall = kTaps + kGroup - 1;                      // rows that a group's windows reach
constexpr int kRing = (kTall + kGroup - 1) / kGroup * kGroup;  // the same, in whole groups
typedef float Lanes __attribute__((vector_size(kBytes)));

// The last vector of a row has `count` lanes inside of the picture; the others read as zeros.
template <bool kWhole> inline Lanes read(const float* p, int count = kLanes) {
  Lanes v = {};
  std::memcpy(&v, p, kWhole ? sizeof v : (size_t)count * sizeof(float));
  return v;
}
template <bool kWhole> inline void write(float* p, Lanes v, int count = kLanes) {
  std::memcpy(p, &v, kWhole ? sizeof v : (size_t)count * sizeof(float));
}
template <bool kWhole> inline Lanes inside(Lanes v, int count) {
  if (!kWhole)
    for (int l = count; l < kLanes; l++) v[l] = 0;
  return v;
}
inline float total(Lanes v) {
  float sum = 0;
  for (int l = 0; l < kLanes; l++) sum += v[l];
  return sum;
}

// A vector of a row, and the sums of its neighbours k pixels to both sides.
struct Around {
#if defined(__AVX512F__)
  // A read of 64 bytes that is not aligned touches two lines of the cache: shifting is a third faster.
  Lanes before, middle, after;
  explicit Around(const float* p)
      : before(read<true>(p - kLanes)), middle(read<true>(p)), after(read<true>(p + kLanes)) {}
  template <int k> Lanes pair() const {
    return shifted<kLanes - k * kChannels>(before, middle) + shifted<k * kChannels>(middle, after);
  }

 private:
  template <int n> static Lanes shifted(Lanes low, Lanes high) {
    return (Lanes)_mm512_alignr_epi32((__m512i)high, (__m512i)low, n);
  }
#else
  const float* p;
  Lanes middle;
  explicit Around(const float* p) : p(p), middle(read<true>(p)) {}
  template <int k> Lanes pair() const { return read<true>(p - k * kChannels) + read<true>(p + k * kChannels); }
#endif
};

struct Window {
  float tap[kReach + 1];  // by the distance from the middle
  Window() {
    double weight[kReach + 1], sum = 0;
    for (int i = 0; i <= kReach; i++) {
      weight[i] = std::exp(-i * i / (2 * kDeviation * kDeviation));
      sum += (i ? 2 : 1) * weight[i];
    }
    for (int i = 0; i <= kReach; i++) tap[i] = (float)(weight[i] / sum);
  }
  // The horizontal window.
  Lanes across(const float* p) const {
    const Around at(p);
    const Lanes near = at.middle * tap[0] + at.pair<1>() * tap[1] + at.pair<2>() * tap[2];
    return near + (at.pair<3>() * tap[3] + at.pair<4>() * tap[4] + at.pair<5>() * tap[5]);
  }
};

// A picture: rows outside of it are zeros.
struct Picture {
  const float* data;
  int height, length;
  const float* zeros;

  const float* row(int r) const { return r >= 0 && r < height ? data + (size_t)r * length : zeros; }
};

// What one thread remembers: vertical sums of one group of rows, zeros to both sides, so that the
// horizontal window needs no borders; and the ring of SSIM's derivatives by the windowed x, x^2 + y^2
// and xy.
class Scratch {
 public:
  explicit Scratch(int length)
      : whole_((length + kLanes - 1) / kLanes * kLanes),
        stride_((size_t)(whole_ + 2 * kMargin)),
        data_((kMaps * kGroup + kPartials * kRing) * stride_ + kAlign, 0.f) {
    const size_t past = reinterpret_cast<uintptr_t>(data_.data()) / sizeof(float) % kAlign;
    start_ = data_.data() + (past ? kAlign - past : 0) + kMargin;
  }
  Scratch(Scratch&&) = default;
  Scratch(const Scratch&) = delete;

  size_t stride() const { return stride_; }  // from one row of the group to the next, and from map to map
  float* sums(int map, int row) { return start_ + (size_t)(map * kGroup + row) * stride_; }
  float* partial(int map, int slot) { return start_ + (size_t)(kMaps * kGroup + map * kRing + slot) * stride_; }
  void no_partial(int slot) {
    for (int m = 0; m < kPartials; m++) std::fill_n(partial(m, slot), whole_, 0.f);
  }

 private:
  static constexpr int kAlign = 16, kMargin = (kReach * kChannels + kAlign - 1) / kAlign * kAlign;
  int whole_;
  size_t stride_;
  std::vector<float> data_;
  float* start_;
};

// The vertical windows of a group's rows, for one vector of each. `values(k, v)` tells the maps of
// row k of kTall.
template <int kCount, class Values>
inline void down(const Window& w, float* out, size_t stride, const Values& values) {
  Lanes sum[kCount * kGroup] = {};
#pragma GCC unroll 16
  for (int k = 0; k < kTall; k++) {
    Lanes v[kCount];
    values(k, v);
#pragma GCC unroll 4
    for (int j = 0; j < kGroup; j++)
      if (k >= j && k - j < kTaps)
#pragma GCC unroll 4
        for (int m = 0; m < kCount; m++) sum[m * kGroup + j] += v[m] * w.tap[std::abs(k - j - kReach)];
  }
#pragma GCC unroll 16
  for (int n = 0; n < kCount * kGroup; n++) write<true>(out + (size_t)n * stride, sum[n]);
}

struct Sums { double l1 = 0, ssim = 0; };

class Sweep {
 public:
  Sweep(const Picture& x, const Picture& y, float dssim_weight, float* gradient, Sums* sums)
      : x_(x), y_(y), gradient_(gradient), sums_(sums), length_(x.length), whole_(x.length / kLanes * kLanes) {
    const float size = (float)x.height * (float)x.length;
    l1_scale_ = (1 - dssim_weight) / size, ssim_scale_ = -dssim_weight / size;
  }

  // Rows [first, last): their sums and, if there is room for it, their gradient.
  void rows(int first, int last, Scratch& scratch) const {
    const int above = gradient_ ? kReach : 0, begin = first - above, end = last + above;
    constexpr int kBehind = kRing - kGroup;
    for (int r = begin; r < end || (gradient_ && r - kBehind + above < last); r += kGroup) {
      moments(r, scratch);
      for (int j = 0; j < kGroup; j++) {
        const int slot = (r - begin + j) % kRing;
        if (r + j < 0 || r + j >= std::min(end, x_.height)) {
          scratch.no_partial(slot);
          continue;
        }
        const Sums s = measure(r + j, j, slot, scratch);
        if (r + j >= first && r + j < last) sums_[r + j] = s;
      }
      const int behind = r - kBehind;  // the first row that the oldest derivatives reach
      if (gradient_ && behind >= begin) {
        derivatives((behind - begin) % kRing, scratch);
        for (int j = 0; j < kGroup && behind + above + j < last; j++) differentiate(behind + above + j, j, scratch);
      }
    }
  }

 private:
  template <bool kWhole>
  void moments_at(int i, const float* const* xs, const float* const* ys, float* out, size_t stride) const {
    down<kMaps>(w_, out + i, stride, [&](int k, Lanes* v) {
      const Lanes a = read<kWhole>(xs[k] + i, length_ - i), b = read<kWhole>(ys[k] + i, length_ - i);
      v[0] = a, v[1] = b, v[2] = a * a + b * b, v[3] = a * b;
    });
  }

  void moments(int r, Scratch& scratch) const {
    const float *xs[kTall], *ys[kTall];
    for (int k = 0; k < kTall; k++) xs[k] = x_.row(r + k - kReach), ys[k] = y_.row(r + k - kReach);
    float* out = scratch.sums(0, 0);
    const size_t stride = scratch.stride();
    for (int i = 0; i < whole_; i += kLanes) moments_at<true>(i, xs, ys, out, stride);
    if (whole_ < length_) moments_at<false>(whole_, xs, ys, out, stride);
  }

  struct LaneSums { Lanes l1, ssim; };

  // What one row is made from and into.
  struct Row { const float *x, *y, *sums[kMaps]; float* partial[kPartials]; };

  template <bool kWhole> void measure_at(int i, const Row& row, LaneSums& sums) const {
    const int count = length_ - i;
    const Lanes mx = w_.across(row.sums[0] + i), my = w_.across(row.sums[1] + i);
    const Lanes squares = w_.across(row.sums[2] + i), products = w_.across(row.sums[3] + i);
    const Lanes means = mx * mx + my * my, both = mx * my;
    const Lanes A = 2 * both + kC1, B = 2 * (products - both) + kC2, C = means + kC1, D = squares - means + kC2;
    const Lanes inverse = 1 / (C * D), a = A * inverse, S = a * B;
    // by the variance and the covariance first; the means reach SSIM through them as well
    const Lanes by_variance = -S * C * inverse, by_covariance = 2 * a;
    const Lanes by_mean = 2 * (my * B - mx * S * D) * inverse - 2 * mx * by_variance - my * by_covariance;
    write<true>(row.partial[0] + i, inside<kWhole>(by_mean, count));
    write<true>(row.partial[1] + i, inside<kWhole>(by_variance, count));
    write<true>(row.partial[2] + i, inside<kWhole>(by_covariance, count));
    const Lanes d = read<kWhole>(row.x + i, count) - read<kWhole>(row.y + i, count);
    sums.l1 += d < 0 ? -d : d;
    sums.ssim += inside<kWhole>(S, count);
  }

  // One row of SSIM and its derivatives.
  Sums measure(int r, int j, int slot, Scratch& scratch) const {
    Row row{x_.row(r), y_.row(r), {}, {}};
    for (int m = 0; m < kMaps; m++) row.sums[m] = scratch.sums(m, j);
    for (int m = 0; m < kPartials; m++) row.partial[m] = scratch.partial(m, slot);
    LaneSums sums = {};
    for (int i = 0; i < whole_; i += kLanes) measure_at<true>(i, row, sums);
    if (whole_ < length_) measure_at<false>(whole_, row, sums);
    return {total(sums.l1), total(sums.ssim)};
  }

  // The vertical windows of the derivatives, of the group whose uppermost is in `slot`.
  void derivatives(int slot, Scratch& scratch) const {
    const float* rows[kPartials][kTall];
    for (int m = 0; m < kPartials; m++)
      for (int k = 0; k < kTall; k++) rows[m][k] = scratch.partial(m, (slot + k) % kRing);
    float* out = scratch.sums(0, 0);
    const size_t stride = scratch.stride();
    for (int i = 0; i < length_; i += kLanes)
      down<kPartials>(w_, out + i, stride, [&](int k, Lanes* v) {
        for (int m = 0; m < kPartials; m++) v[m] = read<true>(rows[m][k] + i);
      });
  }

  template <bool kWhole> void differentiate_at(int i, const Row& row, float* gradient) const {
    const int count = length_ - i;
    const Lanes by_mean = w_.across(row.sums[0] + i), by_square = w_.across(row.sums[1] + i);
    const Lanes by_product = w_.across(row.sums[2] + i);
    const Lanes x = read<kWhole>(row.x + i, count), y = read<kWhole>(row.y + i, count);
    const Lanes none = {}, up = none + l1_scale_, d = x - y, sign = d > 0 ? up : (d < 0 ? -up : none);
    const Lanes g = sign + ssim_scale_ * (by_mean + 2 * x * by_square + y * by_product);
    write<kWhole>(gradient + i, g, count);
  }

  // One row of the loss's gradient by x.
  void differentiate(int r, int j, Scratch& scratch) const {
    Row row{x_.row(r), y_.row(r), {}, {}};
    for (int m = 0; m < kPartials; m++) row.sums[m] = scratch.sums(m, j);
    float* gradient = gradient_ + (size_t)r * length_;
    for (int i = 0; i < whole_; i += kLanes) differentiate_at<true>(i, row, gradient);
    if (whole_ < length_) differentiate_at<false>(whole_, row, gradient);
  }

  Window w_;
  Picture x_, y_;
  float* gradient_;
  Sums* sums_;
  int length_, whole_;
  float l1_scale_, ssim_scale_;
};

}  // namespace

// loss[0] = mean |x - y|, loss[1] = mean SSIM. With a gradient: of
// (1 - dssim_weight) * loss[0] + dssim_weight * (1 - loss[1]) by x.
GST_EXPORT int gst_photometric(int height, int width, const float* x_data, const float* y_data, float dssim_weight,
                               float* gradient, double* loss, int threads) {
  constexpr int kWidest = 1 << 24;
  if (height < 1 || width < 1 || width > kWidest || threads < 1) return 1;
  const int length = width * kChannels;
  const int shares = std::max(1, std::min(threads, height / kFewestRows));
  try {  // all memory is taken here: nothing may throw among waiting threads
    std::vector<Sums> sums((size_t)height);
    std::vector<Scratch> scratch;
    for (int share = 0; share < shares; share++) scratch.emplace_back(length);
    const std::vector<float> zeros((size_t)length, 0.f);
    const Picture x{x_data, height, length, zeros.data()}, y{y_data, height, length, zeros.data()};
    const Sweep sweep(x, y, dssim_weight, gradient, sums.data());
#pragma omp parallel for num_threads(shares) schedule(static)
    for (int share = 0; share < shares; share++) {
      const int first = (int)((int64_t)height * share / shares), last = (int)((int64_t)height * (share + 1) / shares);
      sweep.rows(first, last, scratch[(size_t)share]);
    }
    Sums total;
    for (const Sums& s : sums) total.l1 += s.l1, total.ssim += s.ssim;
    const double size = (double)height * length;
    loss[0] = total.l1 / size, loss[1] = total.ssim / size;
  } catch (const std::bad_alloc&) {
    return 2;
  }
  return 0;
}
