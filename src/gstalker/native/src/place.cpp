// From a cloud's raw tensors to the splats of one frame, and the chain rule back: what the field
// and the pose field add, the activations, and the torso's share held still before the camera.
// The definition is `place` in deform/place.py. Sixteen Gaussians are staged field by field.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "export.h"
#include "raster.h"
#include "simd.h"

namespace {

using namespace gst;

constexpr float kExpMost = 88.f;  // e to more than this is no float
constexpr int kParts = 4;         // means, scales, quats, opacities
constexpr int kPartWidth[kParts] = {3, 3, 4, 1};

template <int K> using Field = float[K][kLanes];

template <int K> inline void gather(const float* rows, int first, int n, Field<K>& out) {
  const float* from = rows + (size_t)K * (size_t)first;
  if (n == kLanes) {
    for (int k = 0; k < K; k++)
#pragma omp simd
      for (int j = 0; j < kLanes; j++) out[k][j] = from[K * j + k];
    return;
  }
  for (int j = 0; j < kLanes; j++)
    for (int k = 0; k < K; k++) out[k][j] = from[K * (j < n ? j : 0) + k];
}
template <int K> inline void scatter(float* rows, int first, int n, const Field<K>& in) {
  float* to = rows + (size_t)K * (size_t)first;
  if (n == kLanes) {
    for (int j = 0; j < kLanes; j++)
#pragma GCC unroll 4
      for (int k = 0; k < K; k++) to[K * j + k] = in[k][j];
    return;
  }
  for (int j = 0; j < n; j++)
    for (int k = 0; k < K; k++) to[K * j + k] = in[k][j];
}

// e^x in place; what is not a number stays so.
inline void exponential(float* x) {
  alignas(64) float power[kLanes];
  const F16 exponent = min(load(x), set(kExpMost)) * set(kLog2E);
  store(power, exp2(at_least(exponent, set(kExp2Least)), exponent));
#pragma omp simd
  for (int j = 0; j < kLanes; j++) x[j] = x[j] == x[j] ? power[j] : x[j];
}
inline void sigmoid(float* x) {
#pragma omp simd
  for (int j = 0; j < kLanes; j++) x[j] = -x[j];
  exponential(x);
#pragma omp simd
  for (int j = 0; j < kLanes; j++) x[j] = 1.f / (1.f + x[j]);
}

// What carries the resting torso into head space: viewmat^-1 rest, and its turn as a quaternion.
struct Back {
  float r[3][3], t[3], turn[4];

  Back(const float* viewmat, const float* rest) {  // 4 x 4, row by row
    double inverse[3][3], m[3][4];
    const auto v = [viewmat](int i, int j) { return (double)viewmat[4 * i + j]; };
    double det = 0;
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++) {
        const int a = (j + 1) % 3, b = (j + 2) % 3, c = (i + 1) % 3, d = (i + 2) % 3;
        inverse[i][j] = v(a, c) * v(b, d) - v(a, d) * v(b, c);
      }
    for (int k = 0; k < 3; k++) det += v(0, k) * inverse[k][0];
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 4; j++) {
        m[i][j] = 0;
        for (int k = 0; k < 3; k++)
          m[i][j] += inverse[i][k] / det * ((double)rest[4 * k + j] - (j == 3 ? v(k, 3) : 0.0));
      }
    for (int i = 0; i < 3; i++) {
      for (int j = 0; j < 3; j++) r[i][j] = (float)m[i][j];
      t[i] = (float)m[i][3];
    }
    to_quat(m);
  }

 private:
  // Row k of the table is 4 q_k q; the longest is the safest. The sign is the short way's.
  void to_quat(const double (&m)[3][4]) {
    const double xx = m[0][0], yy = m[1][1], zz = m[2][2];
    const double table[4][4] = {{1 + xx + yy + zz, m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]},
                                {m[2][1] - m[1][2], 1 + xx - yy - zz, m[1][0] + m[0][1], m[0][2] + m[2][0]},
                                {m[0][2] - m[2][0], m[1][0] + m[0][1], 1 - xx + yy - zz, m[2][1] + m[1][2]},
                                {m[1][0] - m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2], 1 - xx - yy + zz}};
    int best = 0;
    for (int k = 1; k < 4; k++)
      if (table[k][k] > table[best][best]) best = k;
    double length = 0;
    for (double q : table[best]) length += q * q;
    length = std::sqrt(length) * (table[best][0] < 0 ? -1 : 1);
    for (int k = 0; k < 4; k++) turn[k] = (float)(table[best][k] / length);
  }
};

}  // namespace

// The cloud's raw tensors.
struct Cloud { const float *means, *scales, *quats, *opacities, *follow; };
// Row `slot[i]` of `rows` [., width] is added to Gaussian i; a negative slot adds nothing. The parts
// begin at the given columns, those below zero are absent. `shift` likewise moves the torso's share.
struct Moves {
  const int* slot;
  const float* rows;
  int width, column[kParts];
  const int* shift_slot;
  const float* shift;
};
struct Outputs { float *means, *scales, *quats, *opacities; };
struct CloudGradients { float *means, *scales, *quats, *opacities, *follow, *rows, *shift; };

namespace {

// Sixteen Gaussians with everything that both ways need.
struct Lanes {
  alignas(64) Field<3> mean, scale, shift;
  alignas(64) Field<4> quat;
  alignas(64) Field<1> opacity, keep;

  void load_from(const Cloud& cloud, const Moves& moves, int first, int n) {
    gather<3>(cloud.means, first, n, mean), gather<3>(cloud.scales, first, n, scale);
    gather<4>(cloud.quats, first, n, quat), gather<1>(cloud.opacities, first, n, opacity);
    gather<1>(cloud.follow, first, n, keep);
    std::memset(shift, 0, sizeof shift);
    for (int j = 0; j < n; j++) add_moves(moves, first + j, j);
    for (auto& axis : scale) exponential(axis);
    sigmoid(opacity[0]), sigmoid(keep[0]);
  }

 private:
  void add_moves(const Moves& moves, int i, int j) {
    if (moves.slot && moves.slot[i] >= 0) {
      const float* row = moves.rows + (size_t)moves.width * (size_t)moves.slot[i];
      float* const parts[kParts] = {&mean[0][j], &scale[0][j], &quat[0][j], &opacity[0][j]};
      for (int p = 0; p < kParts; p++)
        if (moves.column[p] >= 0)
          for (int k = 0; k < kPartWidth[p]; k++) parts[p][k * kLanes] += row[moves.column[p] + k];
    }
    if (moves.shift_slot && moves.shift_slot[i] >= 0)
      for (int k = 0; k < 3; k++) shift[k][j] = moves.shift[3 * (size_t)moves.shift_slot[i] + k];
  }
};

void place(const Cloud& cloud, const Moves& moves, const Back& back, const Outputs& out, int first, int last) {
  Lanes in;
  alignas(64) Field<3> mean;
  alignas(64) Field<4> quat;
  for (int i = first; i < last; i += kLanes) {
    const int n = std::min(kLanes, last - i);
    in.load_from(cloud, moves, i, n);
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      const float keep = in.keep[0][j], rest = 1.f - keep;
      const float x = in.mean[0][j], y = in.mean[1][j], z = in.mean[2][j];
      const float a = x + in.shift[0][j], b = y + in.shift[1][j], c = z + in.shift[2][j];
      mean[0][j] = keep * x + rest * (back.r[0][0] * a + back.r[0][1] * b + back.r[0][2] * c + back.t[0]);
      mean[1][j] = keep * y + rest * (back.r[1][0] * a + back.r[1][1] * b + back.r[1][2] * c + back.t[1]);
      mean[2][j] = keep * z + rest * (back.r[2][0] * a + back.r[2][1] * b + back.r[2][2] * c + back.t[2]);
      const float w = keep + rest * back.turn[0], u = rest * back.turn[1], v = rest * back.turn[2];
      const float s = rest * back.turn[3];
      const float qw = in.quat[0][j], qx = in.quat[1][j], qy = in.quat[2][j], qz = in.quat[3][j];
      quat[0][j] = w * qw - u * qx - v * qy - s * qz, quat[1][j] = w * qx + u * qw + v * qz - s * qy;
      quat[2][j] = w * qy - u * qz + v * qw + s * qx, quat[3][j] = w * qz + u * qy - v * qx + s * qw;
    }
    scatter<3>(out.means, i, n, mean), scatter<3>(out.scales, i, n, in.scale);
    scatter<4>(out.quats, i, n, quat), scatter<1>(out.opacities, i, n, in.opacity);
  }
}

void spread(const Moves& moves, const CloudGradients& out, int i, int j, const Field<3>& mean, const Field<3>& scale,
            const Field<4>& quat, const Field<1>& opacity, const Field<3>& shift) {
  if (out.rows && moves.slot[i] >= 0) {
    float* row = out.rows + (size_t)moves.width * (size_t)moves.slot[i];
    const float* const parts[kParts] = {&mean[0][j], &scale[0][j], &quat[0][j], &opacity[0][j]};
    for (int p = 0; p < kParts; p++)
      if (moves.column[p] >= 0)
        for (int k = 0; k < kPartWidth[p]; k++) row[moves.column[p] + k] = parts[p][k * kLanes];
  }
  if (out.shift && moves.shift_slot[i] >= 0)
    for (int k = 0; k < 3; k++) out.shift[3 * (size_t)moves.shift_slot[i] + k] = shift[k][j];
}

void place_backward(const Cloud& cloud, const Moves& moves, const Back& back, const float* const* g,
                    const CloudGradients& out, int first, int last) {
  Lanes in;
  alignas(64) Field<3> mean, scale, shift;
  alignas(64) Field<4> quat;
  alignas(64) Field<1> opacity, follow;
  const float t0 = back.turn[0], t1 = back.turn[1], t2 = back.turn[2], t3 = back.turn[3];
  for (int i = first; i < last; i += kLanes) {
    const int n = std::min(kLanes, last - i);
    in.load_from(cloud, moves, i, n);
    gather<3>(g[0], i, n, mean), gather<3>(g[1], i, n, scale), gather<4>(g[2], i, n, quat);
    gather<1>(g[3], i, n, opacity);
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      const float keep = in.keep[0][j], rest = 1.f - keep;
      const float x = in.mean[0][j], y = in.mean[1][j], z = in.mean[2][j];
      const float a = x + in.shift[0][j], b = y + in.shift[1][j], c = z + in.shift[2][j];
      const float gx = mean[0][j], gy = mean[1][j], gz = mean[2][j];
      float pull = gx * (x - (back.r[0][0] * a + back.r[0][1] * b + back.r[0][2] * c + back.t[0])) +
                   gy * (y - (back.r[1][0] * a + back.r[1][1] * b + back.r[1][2] * c + back.t[1])) +
                   gz * (z - (back.r[2][0] * a + back.r[2][1] * b + back.r[2][2] * c + back.t[2]));
      for (int k = 0; k < 3; k++) shift[k][j] = rest * (back.r[0][k] * gx + back.r[1][k] * gy + back.r[2][k] * gz);
      for (int k = 0; k < 3; k++) mean[k][j] = keep * mean[k][j] + shift[k][j];
      const float w = keep + rest * t0, u = rest * t1, v = rest * t2, s = rest * t3;
      const float qw = in.quat[0][j], qx = in.quat[1][j], qy = in.quat[2][j], qz = in.quat[3][j];
      const float gw = quat[0][j], gu = quat[1][j], gv = quat[2][j], gs = quat[3][j];
      // Out = blend * q, so the pull on q is conj(blend) * g and that on blend is g * conj(q).
      quat[0][j] = w * gw + u * gu + v * gv + s * gs, quat[1][j] = w * gu - u * gw - v * gs + s * gv;
      quat[2][j] = w * gv + u * gs - v * gw - s * gu, quat[3][j] = w * gs - u * gv + v * gu - s * gw;
      const float bw = gw * qw + gu * qx + gv * qy + gs * qz, bu = -gw * qx + gu * qw - gv * qz + gs * qy;
      const float bv = -gw * qy + gu * qz + gv * qw - gs * qx, bs = -gw * qz - gu * qy + gv * qx + gs * qw;
      pull += bw * (1.f - t0) - bu * t1 - bv * t2 - bs * t3;
      follow[0][j] = pull * keep * rest;
      for (int k = 0; k < 3; k++) scale[k][j] *= in.scale[k][j];
      opacity[0][j] *= in.opacity[0][j] * (1.f - in.opacity[0][j]);
    }
    scatter<3>(out.means, i, n, mean), scatter<3>(out.scales, i, n, scale), scatter<4>(out.quats, i, n, quat);
    scatter<1>(out.opacities, i, n, opacity), scatter<1>(out.follow, i, n, follow);
    for (int j = 0; j < n; j++) spread(moves, out, i + j, j, mean, scale, quat, opacity, shift);
  }
}

}  // namespace

GST_EXPORT int gst_place_forward(int count, const Cloud* cloud, const Moves* moves, const float* viewmat,
                                 const float* rest_viewmat, const Outputs* out, int threads) {
  if (count < 0 || threads < 1) return 1;
  const Back back(viewmat, rest_viewmat);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int t = 0; t < chunks(count); t++)
    place(*cloud, *moves, back, *out, t * kChunk, std::min(count, (t + 1) * kChunk));
  return 0;
}

// g: gradients of means, scales, quats and opacities; every output but rows and shift is wanted.
GST_EXPORT int gst_place_backward(int count, const Cloud* cloud, const Moves* moves, const float* viewmat,
                                  const float* rest_viewmat, const float* const* g, const CloudGradients* out,
                                  int threads) {
  if (count < 0 || threads < 1) return 1;
  const Back back(viewmat, rest_viewmat);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int t = 0; t < chunks(count); t++)
    place_backward(*cloud, *moves, back, g, *out, t * kChunk, std::min(count, (t + 1) * kChunk));
  return 0;
}
