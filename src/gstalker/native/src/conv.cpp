// One layer of a small network that listens: a convolution of three rows with LeakyReLU, and back.
//
// Pictures of sound are so small here that a framework spends its time around the arithmetic and
// not in it. Rows lie one after the other, channels innermost, so the three rows that an output
// sees are one stretch of memory. One thread: there is nothing to share out.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "export.h"
#include "raster.h"

namespace {

constexpr int kTaps = 3;

struct Shape {
  int batch, length, from, to, stride;
  int outputs() const { return (length - 1) / stride + 1; }
  int reach() const { return kTaps * from; }
  bool fits() const { return batch >= 0 && length >= 1 && from >= 1 && to >= 1 && stride >= 1; }
};

// Weights from torch's [to][from][tap] to [tap][from][to].
void turn(const Shape& s, const float* given, float* out) {
  for (int o = 0; o < s.to; o++)
    for (int c = 0; c < s.from; c++)
      for (int k = 0; k < kTaps; k++) out[(k * s.from + c) * s.to + o] = given[(o * s.from + c) * kTaps + k];
}
void turn_back(const Shape& s, const float* turned, float* out) {
  for (int o = 0; o < s.to; o++)
    for (int c = 0; c < s.from; c++)
      for (int k = 0; k < kTaps; k++) out[(o * s.from + c) * kTaps + k] = turned[(k * s.from + c) * s.to + o];
}

// One input with a row of zeros before and after it.
void pad(const Shape& s, const float* x, float* out) {
  std::fill(out, out + s.from, 0.f);
  std::memcpy(out + s.from, x, sizeof(float) * (size_t)(s.length * s.from));
  std::fill(out + (s.length + 1) * s.from, out + (s.length + 2) * s.from, 0.f);
}

}  // namespace

// y [batch, outputs, to] = LeakyReLU(conv(x [batch, length, from])), padded by one row of zeros.
GST_EXPORT int gst_conv_forward(int batch, int length, int from, int to, int stride, const float* x,
                                const float* weight, const float* bias, float slope, float* y) {
  const Shape s{batch, length, from, to, stride};
  if (!s.fits()) return 1;
  try {
    gst::Buffer<float> store;
    float* w = store.reserve((size_t)(s.reach() * to + (length + 2) * from));
    float* padded = w + s.reach() * to;
    turn(s, weight, w);
    for (int b = 0; b < batch; b++) {
      pad(s, x + (ptrdiff_t)b * length * from, padded);
      for (int l = 0; l < s.outputs(); l++) {
        const float* seen = padded + l * stride * from;
        float* out = y + ((ptrdiff_t)b * s.outputs() + l) * to;
        std::memcpy(out, bias, sizeof(float) * (size_t)to);
        for (int k = 0; k < s.reach(); k++)
          for (int o = 0; o < to; o++) out[o] += seen[k] * w[k * to + o];
        for (int o = 0; o < to; o++) out[o] = out[o] > 0.f ? out[o] : slope * out[o];
      }
    }
  } catch (const std::bad_alloc&) {
    return 2;
  }
  return 0;
}

// From g_y and the forward call's y: g_x (may be null), g_weight and g_bias.
GST_EXPORT int gst_conv_backward(int batch, int length, int from, int to, int stride, const float* x,
                                 const float* weight, float slope, const float* y, const float* g_y, float* g_x,
                                 float* g_weight, float* g_bias) {
  const Shape s{batch, length, from, to, stride};
  if (!s.fits()) return 1;
  try {
    gst::Buffer<float> store;
    const size_t weights = (size_t)(s.reach() * to), rows = (size_t)((length + 2) * from);
    float* w = store.reserve(2 * weights + 2 * rows + (size_t)to);
    float *g_w = w + weights, *padded = g_w + weights, *g_padded = padded + rows, *pull = g_padded + rows;
    turn(s, weight, w);
    std::fill(g_w, g_w + weights, 0.f);
    std::fill(g_bias, g_bias + to, 0.f);
    for (int b = 0; b < batch; b++) {
      pad(s, x + (ptrdiff_t)b * length * from, padded);
      std::fill(g_padded, g_padded + rows, 0.f);
      for (int l = 0; l < s.outputs(); l++) {
        const ptrdiff_t at = ((ptrdiff_t)b * s.outputs() + l) * to;
        const float* seen = padded + l * stride * from;
        for (int o = 0; o < to; o++) pull[o] = g_y[at + o] * (y[at + o] > 0.f ? 1.f : slope);
        for (int o = 0; o < to; o++) g_bias[o] += pull[o];
        for (int k = 0; k < s.reach(); k++)
          for (int o = 0; o < to; o++) g_w[k * to + o] += seen[k] * pull[o];
        if (!g_x) continue;
        for (int k = 0; k < s.reach(); k++) {
          float sum = 0;
#pragma omp simd reduction(+ : sum)
          for (int o = 0; o < to; o++) sum += w[k * to + o] * pull[o];
          g_padded[l * stride * from + k] += sum;
        }
      }
      if (g_x)
        std::memcpy(g_x + (ptrdiff_t)b * length * from, g_padded + from, sizeof(float) * (size_t)(length * from));
    }
    turn_back(s, g_w, g_weight);
  } catch (const std::bad_alloc&) {
    return 2;
  }
  return 0;
}
