// Sixteen floats at once, over AVX-512, AVX2 or plain loops.
//
// A lane is a pixel of a 4x4 block. Kernels are written once against these names; the file is
// compiled three times and the library is chosen at run time. Plain loops rather than the
// compiler's own 64-byte vectors: g++ turns those into scalars where the target has no AVX-512.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define GST_INLINE static inline __attribute__((always_inline))

namespace gst {

// 2^f for 0 <= f < 1, a minimax polynomial of degree 4; relative error below 4e-6.
constexpr int kExp2Terms = 5;
constexpr float kExp2[kExp2Terms] = {0.0135341678f, 0.0520114601f, 0.241442755f, 0.693003833f, 1.00000262f};
constexpr float kExp2Least = -126.f;  // below this the exponent field would wrap

#if defined(__AVX512F__)

struct F16 { __m512 v; };
using M16 = __mmask16;

GST_INLINE F16 set(float x) { return {_mm512_set1_ps(x)}; }
GST_INLINE F16 load(const float* p) { return {_mm512_load_ps(p)}; }
GST_INLINE void store(float* p, F16 a) { _mm512_store_ps(p, a.v); }
GST_INLINE F16 operator+(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
GST_INLINE F16 operator-(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
GST_INLINE F16 operator*(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
GST_INLINE F16 fma(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
GST_INLINE F16 fnma(F16 a, F16 b, F16 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }  // c - a*b
GST_INLINE F16 min(F16 a, F16 b) { return {_mm512_min_ps(a.v, b.v)}; }
GST_INLINE F16 max(F16 a, F16 b) { return {_mm512_max_ps(a.v, b.v)}; }  // b where a is no number
GST_INLINE F16 abs(F16 a) { return {_mm512_abs_ps(a.v)}; }
GST_INLINE F16 floor(F16 a) { return {_mm512_floor_ps(a.v)}; }
GST_INLINE F16 sqrt(F16 a) { return {_mm512_sqrt_ps(a.v)}; }
GST_INLINE M16 at_least(F16 a, F16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
GST_INLINE M16 at_least(M16 m, F16 a, F16 b) { return _mm512_mask_cmp_ps_mask(m, a.v, b.v, _CMP_GE_OQ); }
GST_INLINE M16 differ(M16 a, M16 b) { return a ^ b; }
GST_INLINE bool any(M16 m) { return m != 0; }
GST_INLINE F16 select(M16 m, F16 a, F16 b) { return {_mm512_mask_mov_ps(b.v, m, a.v)}; }
GST_INLINE F16 where(M16 m, F16 a) { return {_mm512_maskz_mov_ps(m, a.v)}; }
GST_INLINE F16 select_or_negative(M16 m, F16 a, F16 b) {  // a, and -|b| outside of the mask
  return {_mm512_mask_or_ps(a.v, _knot_mask16(m), b.v, _mm512_set1_ps(-0.f))};
}
GST_INLINE M16 before(M16 m, int k, const int* ends) {  // k < ends[lane]
  return _mm512_mask_cmplt_epi32_mask(m, _mm512_set1_epi32(k), _mm512_load_si512(ends));
}
// Whole vectors, as masked stores are slow on some processors.
GST_INLINE void store_where(int* p, M16 m, int k) {
  _mm512_store_si512(p, _mm512_mask_mov_epi32(_mm512_load_si512(p), m, _mm512_set1_epi32(k)));
}
// 2^x, and 0 outside of the mask. There it would often be denormal, which costs the processor a
// hundred cycles a time.
GST_INLINE F16 exp2(M16 m, F16 x) {
  const __m512 f = _mm512_reduce_ps(x.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // x - floor(x)
  __m512 p = _mm512_set1_ps(kExp2[0]);
  for (int i = 1; i < kExp2Terms; i++) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2[i]));
  return {_mm512_maskz_scalef_ps(m, p, x.v)};  // takes the floor of x itself
}
GST_INLINE F16 reciprocal(F16 x) {  // 14 bits from the table, doubled by one Newton step
  __m512 r = _mm512_rcp14_ps(x.v);
  return {_mm512_mul_ps(r, _mm512_fnmadd_ps(x.v, r, _mm512_set1_ps(2.f)))};
}
// For every lane a byte with the bits first to last set; none outside of the mask.
struct Bytes16 { uint64_t low, high; };
GST_INLINE Bytes16 bit_runs(M16 m, F16 first, F16 last) {
  const __m512i one = _mm512_set1_epi32(1), two = _mm512_set1_epi32(2);
  const __m512i end = _mm512_sllv_epi32(two, _mm512_cvttps_epi32(last.v)), start = _mm512_sllv_epi32(one, _mm512_cvttps_epi32(first.v));
  const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_maskz_sub_epi32(m, end, start));
  return {(uint64_t)_mm_cvtsi128_si64(bytes), (uint64_t)_mm_extract_epi64(bytes, 1)};
}
GST_INLINE float sum(F16 a) { return _mm512_reduce_add_ps(a.v); }
GST_INLINE void sum8(const F16* a, float* out) {  // eight sums for little more than the price of two
  __m512 t[4];
  for (int i = 0; i < 4; i++)
    t[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * i].v, a[2 * i + 1].v, 0x44),
                         _mm512_shuffle_f32x4(a[2 * i].v, a[2 * i + 1].v, 0xEE));
  __m512 low = _mm512_add_ps(_mm512_shuffle_f32x4(t[0], t[1], 0x88), _mm512_shuffle_f32x4(t[0], t[1], 0xDD));
  __m512 high = _mm512_add_ps(_mm512_shuffle_f32x4(t[2], t[3], 0x88), _mm512_shuffle_f32x4(t[2], t[3], 0xDD));
  __m512 w = _mm512_add_ps(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xEE));
  w = _mm512_add_ps(w, _mm512_permute_ps(w, 0xB1));
  const __m512i order = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 14, 10, 6, 2, 12, 8, 4, 0);
  _mm256_storeu_ps(out, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, w)));
}

#elif defined(__AVX2__) && defined(__FMA__)

struct F16 { __m256 a, b; };
struct M16 { __m256 a, b; };

GST_INLINE F16 set(float x) { __m256 t = _mm256_set1_ps(x); return {t, t}; }
GST_INLINE F16 load(const float* p) { return {_mm256_load_ps(p), _mm256_load_ps(p + 8)}; }
GST_INLINE void store(float* p, F16 x) { _mm256_store_ps(p, x.a); _mm256_store_ps(p + 8, x.b); }
GST_INLINE F16 operator+(F16 x, F16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
GST_INLINE F16 operator-(F16 x, F16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
GST_INLINE F16 operator*(F16 x, F16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
GST_INLINE F16 fma(F16 x, F16 y, F16 z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
GST_INLINE F16 fnma(F16 x, F16 y, F16 z) { return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)}; }
GST_INLINE F16 min(F16 x, F16 y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
GST_INLINE F16 max(F16 x, F16 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
GST_INLINE F16 floor(F16 x) { return {_mm256_floor_ps(x.a), _mm256_floor_ps(x.b)}; }
GST_INLINE F16 sqrt(F16 x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
GST_INLINE F16 abs(F16 x) {
  __m256 sign = _mm256_set1_ps(-0.f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
GST_INLINE M16 at_least(F16 x, F16 y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ)};
}
GST_INLINE M16 at_least(M16 m, F16 x, F16 y) {
  const M16 n = at_least(x, y);
  return {_mm256_and_ps(m.a, n.a), _mm256_and_ps(m.b, n.b)};
}
GST_INLINE M16 differ(M16 x, M16 y) { return {_mm256_xor_ps(x.a, y.a), _mm256_xor_ps(x.b, y.b)}; }
GST_INLINE bool any(M16 m) { return _mm256_movemask_ps(_mm256_or_ps(m.a, m.b)) != 0; }
GST_INLINE F16 select(M16 m, F16 x, F16 y) {
  return {_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)};
}
GST_INLINE F16 where(M16 m, F16 x) { return {_mm256_and_ps(m.a, x.a), _mm256_and_ps(m.b, x.b)}; }
GST_INLINE F16 select_or_negative(M16 m, F16 x, F16 y) {
  __m256 sign = _mm256_set1_ps(-0.f);
  return select(m, x, {_mm256_or_ps(y.a, sign), _mm256_or_ps(y.b, sign)});
}
GST_INLINE M16 before(M16 m, int k, const int* ends) {
  __m256i q = _mm256_set1_epi32(k);
  __m256i a = _mm256_cmpgt_epi32(_mm256_load_si256((const __m256i*)ends), q);
  __m256i b = _mm256_cmpgt_epi32(_mm256_load_si256((const __m256i*)(ends + 8)), q);
  return {_mm256_and_ps(m.a, _mm256_castsi256_ps(a)), _mm256_and_ps(m.b, _mm256_castsi256_ps(b))};
}
GST_INLINE void store_where(int* p, M16 m, int k) {
  const __m256i q = _mm256_set1_epi32(k);
  __m256i *low = (__m256i*)p, *high = (__m256i*)(p + 8);
  _mm256_store_si256(low, _mm256_blendv_epi8(_mm256_load_si256(low), q, _mm256_castps_si256(m.a)));
  _mm256_store_si256(high, _mm256_blendv_epi8(_mm256_load_si256(high), q, _mm256_castps_si256(m.b)));
}
GST_INLINE __m256 exp2_half(__m256 x) {
  x = _mm256_max_ps(x, _mm256_set1_ps(kExp2Least));
  __m256 n = _mm256_floor_ps(x), f = _mm256_sub_ps(x, n);
  __m256 p = _mm256_set1_ps(kExp2[0]);
  for (int i = 1; i < kExp2Terms; i++) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2[i]));
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}
GST_INLINE F16 exp2(M16 m, F16 x) { return where(m, {exp2_half(x.a), exp2_half(x.b)}); }
GST_INLINE F16 reciprocal(F16 x) {  // 12 bits are too few for one Newton step to reach float: divide
  __m256 one = _mm256_set1_ps(1.f);
  return {_mm256_div_ps(one, x.a), _mm256_div_ps(one, x.b)};
}
struct Bytes16 { uint64_t low, high; };
GST_INLINE __m256i bit_runs_half(__m256 m, __m256 first, __m256 last) {
  const __m256i end = _mm256_sllv_epi32(_mm256_set1_epi32(2), _mm256_cvttps_epi32(last));
  const __m256i start = _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_cvttps_epi32(first));
  return _mm256_and_si256(_mm256_castps_si256(m), _mm256_sub_epi32(end, start));
}
GST_INLINE Bytes16 bit_runs(M16 m, F16 first, F16 last) {
  const __m256i a = bit_runs_half(m.a, first.a, last.a), b = bit_runs_half(m.b, first.b, last.b);
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xD8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  return {(uint64_t)_mm_cvtsi128_si64(bytes), (uint64_t)_mm_extract_epi64(bytes, 1)};
}
GST_INLINE float sum(F16 x) {
  __m256 s = _mm256_add_ps(x.a, x.b);
  __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  t = _mm_add_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
GST_INLINE void sum8(const F16* x, float* out) {
  __m256 s[8];
  for (int i = 0; i < 8; i++) s[i] = _mm256_add_ps(x[i].a, x[i].b);
  __m256 q0 = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
  __m256 q1 = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(q0), _mm256_extractf128_ps(q0, 1)));
  _mm_storeu_ps(out + 4, _mm_add_ps(_mm256_castps256_ps128(q1), _mm256_extractf128_ps(q1, 1)));
}

#else

struct alignas(64) F16 { float v[16]; };
struct alignas(64) M16 { int32_t v[16]; };  // 0 or -1

#define GST_LANES for (int i = 0; i < 16; i++)
GST_INLINE F16 set(float x) { F16 r; GST_LANES r.v[i] = x; return r; }
GST_INLINE F16 load(const float* p) { F16 r; GST_LANES r.v[i] = p[i]; return r; }
GST_INLINE void store(float* p, const F16& a) { GST_LANES p[i] = a.v[i]; }
GST_INLINE F16 operator+(const F16& a, const F16& b) { F16 r; GST_LANES r.v[i] = a.v[i] + b.v[i]; return r; }
GST_INLINE F16 operator-(const F16& a, const F16& b) { F16 r; GST_LANES r.v[i] = a.v[i] - b.v[i]; return r; }
GST_INLINE F16 operator*(const F16& a, const F16& b) { F16 r; GST_LANES r.v[i] = a.v[i] * b.v[i]; return r; }
GST_INLINE F16 fma(const F16& a, const F16& b, const F16& c) { F16 r; GST_LANES r.v[i] = a.v[i] * b.v[i] + c.v[i]; return r; }
GST_INLINE F16 fnma(const F16& a, const F16& b, const F16& c) { F16 r; GST_LANES r.v[i] = c.v[i] - a.v[i] * b.v[i]; return r; }
GST_INLINE F16 min(const F16& a, const F16& b) { F16 r; GST_LANES r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return r; }
GST_INLINE F16 max(const F16& a, const F16& b) { F16 r; GST_LANES r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return r; }
GST_INLINE F16 floor(const F16& a) { F16 r; GST_LANES r.v[i] = std::floor(a.v[i]); return r; }
GST_INLINE F16 sqrt(const F16& a) { F16 r; GST_LANES r.v[i] = std::sqrt(a.v[i]); return r; }
GST_INLINE F16 abs(const F16& a) { F16 r; GST_LANES r.v[i] = std::fabs(a.v[i]); return r; }
GST_INLINE M16 at_least(const F16& a, const F16& b) { M16 r; GST_LANES r.v[i] = -(int32_t)(a.v[i] >= b.v[i]); return r; }
GST_INLINE M16 at_least(const M16& m, const F16& a, const F16& b) { M16 r; GST_LANES r.v[i] = m.v[i] & -(int32_t)(a.v[i] >= b.v[i]); return r; }
GST_INLINE M16 differ(const M16& a, const M16& b) { M16 r; GST_LANES r.v[i] = a.v[i] ^ b.v[i]; return r; }
GST_INLINE bool any(const M16& m) { int32_t r = 0; GST_LANES r |= m.v[i]; return r != 0; }
GST_INLINE F16 select(const M16& m, const F16& a, const F16& b) { F16 r; GST_LANES r.v[i] = m.v[i] ? a.v[i] : b.v[i]; return r; }
GST_INLINE F16 where(const M16& m, const F16& a) { F16 r; GST_LANES r.v[i] = m.v[i] ? a.v[i] : 0.f; return r; }
GST_INLINE F16 select_or_negative(const M16& m, const F16& a, const F16& b) { F16 r; GST_LANES r.v[i] = m.v[i] ? a.v[i] : -std::fabs(b.v[i]); return r; }
GST_INLINE M16 before(const M16& m, int k, const int* ends) { M16 r; GST_LANES r.v[i] = m.v[i] & -(int32_t)(k < ends[i]); return r; }
GST_INLINE void store_where(int* p, const M16& m, int k) { GST_LANES p[i] = m.v[i] ? k : p[i]; }
GST_INLINE F16 exp2(const M16& m, const F16& x) {
  F16 r;
  GST_LANES {
    float y = x.v[i] < kExp2Least ? kExp2Least : x.v[i];
    int32_t n = (int32_t)y - (y < 0.f);  // the floor, or at a negative whole number one less
    float f = y - (float)n, p = kExp2[0];
    for (int k = 1; k < kExp2Terms; k++) p = p * f + kExp2[k];
    int32_t bits;
    std::memcpy(&bits, &p, 4);
    bits += n * (1 << 23);
    std::memcpy(&r.v[i], &bits, 4);
  }
  return where(m, r);
}
GST_INLINE F16 reciprocal(const F16& x) { F16 r; GST_LANES r.v[i] = 1.f / x.v[i]; return r; }
struct Bytes16 { uint64_t low, high; };
GST_INLINE Bytes16 bit_runs(const M16& m, const F16& first, const F16& last) {
  Bytes16 r{0, 0};
  for (int i = 0; i < 16; i++) {
    const uint64_t run = m.v[i] ? (2u << (int)last.v[i]) - (1u << (int)first.v[i]) : 0u;
    (i < 8 ? r.low : r.high) |= run << (8 * (i % 8));
  }
  return r;
}
GST_INLINE float sum(const F16& a) { float s = 0; GST_LANES s += a.v[i]; return s; }
GST_INLINE void sum8(const F16* a, float* out) { for (int k = 0; k < 8; k++) out[k] = sum(a[k]); }
#undef GST_LANES

#endif

}  // namespace gst
