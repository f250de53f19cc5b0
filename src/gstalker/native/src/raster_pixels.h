// The sixteen pixels of a 4x4 block, between lanes and the rows of a picture.
//
// A row is four pixels of a picture with interleaved colours; `stride` counts values from one row
// to the next. Nothing beyond the sixteen pixels is read or written.
#pragma once
#include <cstddef>
#include <type_traits>

#include "simd.h"

namespace gst {

struct Rgb { F16 red, green, blue; };

#if defined(__AVX512F__)

GST_INLINE __m512i lanes(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l) {
  return _mm512_set_epi32(0, 0, 0, 0, l, k, j, i, h, g, f, e, d, c, b, a);
}
GST_INLINE Rgb load_rgb(const float* rows, size_t stride) {
  const __mmask16 twelve = 0x0FFF;
  const __m512 r0 = _mm512_maskz_loadu_ps(twelve, rows), r1 = _mm512_maskz_loadu_ps(twelve, rows + stride);
  const __m512 r2 = _mm512_maskz_loadu_ps(twelve, rows + 2 * stride), r3 = _mm512_maskz_loadu_ps(twelve, rows + 3 * stride);
  Rgb out;
  F16* channel[3] = {&out.red, &out.green, &out.blue};
  for (int c = 0; c < 3; c++) {  // every third value of two rows; 16 + i is the second row's
    const __m512i pick = lanes(c, c + 3, c + 6, c + 9, c + 16, c + 19, c + 22, c + 25, 0, 0, 0, 0);
    const __m512 top = _mm512_permutex2var_ps(r0, pick, r1), bottom = _mm512_permutex2var_ps(r2, pick, r3);
    channel[c]->v = _mm512_shuffle_f32x4(top, bottom, 0x44);
  }
  return out;
}
GST_INLINE void store_rgb(float* rows, size_t stride, const Rgb& p) {
  for (int j = 0; j < 4; j++) {
    const int i = 4 * j, g = 16 + i;
    const __m512 two = _mm512_permutex2var_ps(p.red.v, lanes(i, g, 0, i + 1, g + 1, 0, i + 2, g + 2, 0, i + 3, g + 3, 0), p.green.v);
    const __m512 row = _mm512_permutex2var_ps(two, lanes(0, 1, g, 3, 4, g + 1, 6, 7, g + 2, 9, 10, g + 3), p.blue.v);
    _mm512_mask_storeu_ps(rows + j * stride, 0x0FFF, row);
  }
}
GST_INLINE F16 load_gray(const float* rows, size_t stride) {
  const __m256 top = _mm256_loadu2_m128(rows + stride, rows), bottom = _mm256_loadu2_m128(rows + 3 * stride, rows + 2 * stride);
  return {_mm512_insertf32x8(_mm512_castps256_ps512(top), bottom, 1)};
}
GST_INLINE void store_gray(float* rows, size_t stride, F16 gray) {
  _mm_storeu_ps(rows, _mm512_castps512_ps128(gray.v));
  _mm_storeu_ps(rows + stride, _mm512_extractf32x4_ps(gray.v, 1));
  _mm_storeu_ps(rows + 2 * stride, _mm512_extractf32x4_ps(gray.v, 2));
  _mm_storeu_ps(rows + 3 * stride, _mm512_extractf32x4_ps(gray.v, 3));
}
GST_INLINE __m512i eight_bits(F16 x) {  // of [0, 1]; what is beyond is clamped
  const __m512 scaled = _mm512_mul_ps(x.v, _mm512_set1_ps(255.f));
  return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(scaled, _mm512_setzero_ps()), _mm512_set1_ps(255.f)));
}
GST_INLINE void store_bytes(uint8_t* rows, size_t stride, const Rgb& p) {
  const __m512i green = _mm512_slli_epi32(eight_bits(p.green), 8), blue = _mm512_slli_epi32(eight_bits(p.blue), 16);
  const __m512i four = _mm512_or_si512(_mm512_or_si512(eight_bits(p.red), green), blue);
  const __m128i three = _mm_set_epi8(-1, -1, -1, -1, 14, 13, 12, 10, 9, 8, 6, 5, 4, 2, 1, 0);
  alignas(64) uint8_t row[64];
  _mm512_store_si512(row, _mm512_shuffle_epi8(four, _mm512_broadcast_i32x4(three)));
  for (int j = 0; j < 4; j++) std::memcpy(rows + j * stride, row + 16 * j, 12);
}

#else

GST_INLINE Rgb load_rgb(const float* rows, size_t stride) {
  alignas(64) float plane[3][16];
  for (int j = 0; j < 4; j++)
    for (int i = 0; i < 4; i++)
      for (int c = 0; c < 3; c++) plane[c][4 * j + i] = rows[j * stride + 3 * i + c];
  return {load(plane[0]), load(plane[1]), load(plane[2])};
}
GST_INLINE void store_rgb(float* rows, size_t stride, const Rgb& p) {
  alignas(64) float plane[3][16];
  store(plane[0], p.red), store(plane[1], p.green), store(plane[2], p.blue);
  for (int j = 0; j < 4; j++)
    for (int i = 0; i < 4; i++)
      for (int c = 0; c < 3; c++) rows[j * stride + 3 * i + c] = plane[c][4 * j + i];
}
GST_INLINE F16 load_gray(const float* rows, size_t stride) {
  alignas(64) float plane[16];
  for (int j = 0; j < 4; j++) std::memcpy(plane + 4 * j, rows + j * stride, 16);
  return load(plane);
}
GST_INLINE void store_gray(float* rows, size_t stride, F16 gray) {
  alignas(64) float plane[16];
  store(plane, gray);
  for (int j = 0; j < 4; j++) std::memcpy(rows + j * stride, plane + 4 * j, 16);
}
GST_INLINE void store_bytes(uint8_t* rows, size_t stride, const Rgb& p) {
  alignas(64) float plane[3][16];
  store(plane[0], p.red), store(plane[1], p.green), store(plane[2], p.blue);
  for (int j = 0; j < 4; j++)
    for (int i = 0; i < 4; i++)
      for (int c = 0; c < 3; c++) {
        const float scaled = 255.f * plane[c][4 * j + i], positive = scaled > 0.f ? scaled : 0.f;
        rows[j * stride + 3 * i + c] = (uint8_t)((positive < 255.f ? positive : 255.f) + 0.5f);
      }
}

#endif

// A picture of K values a pixel, seen block by block; a block that hangs over its right or lower
// edge goes through a copy, in which what is outside is zero.
template <class T, int K> struct Picture {
  T* values;
  int width, height;
  size_t stride() const { return (size_t)width * K; }
  T* at(int x, int y) const { return values + (size_t)y * stride() + (size_t)x * K; }
  bool holds(int x, int y) const { return x + 4 <= width && y + 4 <= height; }

  // Asks for a block's rows some time before they are due: pictures are larger than the cache.
  void fetch(int x, int y) const {
    if (!values || !holds(x, y)) return;
    for (int j = 0; j < 4; j++) __builtin_prefetch(at(x, y + j), std::is_const_v<T> ? 0 : 1);
  }

  template <class Use> void read(int x, int y, Use&& use) const {
    if (__builtin_expect(holds(x, y), 1)) return use(at(x, y), stride());
    std::remove_const_t<T> copy[16 * K] = {};
    for (int j = 0; j < 4 && y + j < height; j++)
      for (int i = 0; i < 4 && x + i < width; i++) std::memcpy(copy + K * (4 * j + i), at(x + i, y + j), K * sizeof(T));
    use(copy, (size_t)4 * K);
  }
  template <class Fill> void write(int x, int y, Fill&& fill) const {
    if (__builtin_expect(holds(x, y), 1)) return fill(at(x, y), stride());
    T copy[16 * K];
    fill(copy, (size_t)4 * K);
    for (int j = 0; j < 4 && y + j < height; j++)
      for (int i = 0; i < 4 && x + i < width; i++) std::memcpy(at(x + i, y + j), copy + K * (4 * j + i), K * sizeof(T));
  }
};

}  // namespace gst
