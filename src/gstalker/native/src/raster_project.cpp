// From a Gaussian in the world to an ellipse in the picture, and the chain rule back.
//
// Sixteen Gaussians are staged field by field so that the compiler's vectors run along them.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "raster.h"

namespace gst {
namespace {

template <int K> inline void gather(const float* rows, int first, int n, float (*out)[kLanes]) {
  for (int j = 0; j < kLanes; j++)
    for (int k = 0; k < K; k++) out[k][j] = rows[(size_t)K * (first + (j < n ? j : 0)) + k];
}
template <int K> inline void scatter(float* rows, int first, int n, const float (*in)[kLanes]) {
  for (int j = 0; j < n; j++)
    for (int k = 0; k < K; k++) rows[(size_t)K * (first + j) + k] = in[k][j];
}

// log2 of a positive float: exponent, and atanh's series of the mantissa around 1.
inline float log2_positive(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  int exponent = (int)(bits - 0x3f3504f3u) >> 23;  // 0x3f3504f3 is sqrt(1/2)
  bits -= (uint32_t)exponent << 23;
  float m;
  std::memcpy(&m, &bits, 4);
  float t = (m - 1.f) / (m + 1.f), q = t * t;
  float series = 1.f + q * (1.f / 3 + q * (1.f / 5 + q * (1.f / 7 + q * (1.f / 9))));
  return (float)exponent + 2.f * kLog2E * t * series;
}

// As the processor does it; std::min and std::max return references, which keep loops scalar.
inline float least(float a, float b) { return a < b ? a : b; }
inline float most(float a, float b) { return a > b ? a : b; }

// The tile at a pixel, clamped. Shifted by one to be positive: truncation is floor there, and cheaper.
inline int clamped_tile(float pixel, float highest, float lowest) {
  return (int)(least(most(pixel * (1.f / kTile), lowest), highest) + 1.f) - 1;
}

// A colour that is no number stays none.
inline float colored(const ColorMap& map, float value) {
  const float color = map.scale * value + map.shift;
  return color < map.least ? map.least : color;
}

// Unit quaternion (its 1/length in `inverse`) to a rotation's rows.
struct Rotation {
  float w, x, y, z, inverse;
  float r00, r01, r02, r10, r11, r12, r20, r21, r22;
  inline Rotation(float qw, float qx, float qy, float qz) {
    inverse = 1.f / std::sqrt(qw * qw + qx * qx + qy * qy + qz * qz);
    w = qw * inverse, x = qx * inverse, y = qy * inverse, z = qz * inverse;
    r00 = 1 - 2 * (y * y + z * z), r01 = 2 * (x * y - w * z), r02 = 2 * (x * z + w * y);
    r10 = 2 * (x * y + w * z), r11 = 1 - 2 * (x * x + z * z), r12 = 2 * (y * z - w * x);
    r20 = 2 * (x * z - w * y), r21 = 2 * (y * z + w * x), r22 = 1 - 2 * (x * x + y * y);
  }
};

}  // namespace

void project(Workspace& ws, const Inputs& in, const Centres& centres, int first, int last) {
  Projected* out = ws.projected.get();
  TileRange* ranges = ws.ranges.get();
  const ColorMap colors = ws.color_map;
  const float tiles_x = (float)ws.tiles_x, tiles_y = (float)ws.tiles_y;
  const float fx = ws.camera.fx, fy = ws.camera.fy, cx = ws.camera.cx, cy = ws.camera.cy;
  float V[12];
  std::memcpy(V, ws.camera.view, sizeof V);
  constexpr int kFields = sizeof(Projected) / sizeof(float);
  alignas(64) float mean[3][kLanes], scale[3][kLanes], quat[4][kLanes], opacity[1][kLanes], color[3][kLanes];
  alignas(64) float field[kFields][kLanes], mean2d[2][kLanes];
  alignas(64) int range[4][kLanes], radius[kLanes];
  for (int i = first; i < last; i += kLanes) {
    const int n = std::min(kLanes, last - i);
    gather<3>(in.means, i, n, mean), gather<3>(in.scales, i, n, scale), gather<4>(in.quats, i, n, quat);
    gather<1>(in.opacities, i, n, opacity), gather<3>(in.colors, i, n, color);
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      const float x = mean[0][j], y = mean[1][j], z = mean[2][j];
      const float X = V[0] * x + V[1] * y + V[2] * z + V[3];
      const float Y = V[4] * x + V[5] * y + V[6] * z + V[7];
      const float Z = V[8] * x + V[9] * y + V[10] * z + V[11];
      const Rotation R(quat[0][j], quat[1][j], quat[2][j], quat[3][j]);
      const float iz = 1.f / Z, u = X * iz, v = Y * iz, jx = fx * iz, jy = fy * iz;
      // Rows of J V: how the picture's x and y answer to world directions.
      const float a0 = jx * (V[0] - u * V[8]), a1 = jx * (V[1] - u * V[9]), a2 = jx * (V[2] - u * V[10]);
      const float b0 = jy * (V[4] - v * V[8]), b1 = jy * (V[5] - v * V[9]), b2 = jy * (V[6] - v * V[10]);
      const float s0 = scale[0][j], s1 = scale[1][j], s2 = scale[2][j];
      const float p0 = (a0 * R.r00 + a1 * R.r10 + a2 * R.r20) * s0, t0 = (b0 * R.r00 + b1 * R.r10 + b2 * R.r20) * s0;
      const float p1 = (a0 * R.r01 + a1 * R.r11 + a2 * R.r21) * s1, t1 = (b0 * R.r01 + b1 * R.r11 + b2 * R.r21) * s1;
      const float p2 = (a0 * R.r02 + a1 * R.r12 + a2 * R.r22) * s2, t2 = (b0 * R.r02 + b1 * R.r12 + b2 * R.r22) * s2;
      const float xx = p0 * p0 + p1 * p1 + p2 * p2 + kDilation, xy = p0 * t0 + p1 * t1 + p2 * t2;
      const float yy = t0 * t0 + t1 * t1 + t2 * t2 + kDilation;
      const float det = xx * yy - xy * xy, inverse = 1.f / det;
      const float A = yy * inverse, B = -xy * inverse, C = xx * inverse;
      const float o = opacity[0][j], log2_opacity = log2_positive(o);
      const float px = fx * u + cx, py = fy * v + cy;
      // A comparison with a NaN is false, so every damaged number ends as "not seen".
      const float red = colored(colors, color[0][j]), green = colored(colors, color[1][j]);
      const float blue = colored(colors, color[2][j]), tint = std::fabs(red) + std::fabs(green) + std::fabs(blue);
      float q = 2.f * kLn2 * (log2_opacity - kLog2AlphaLeast);
      const bool seen = (Z > kNear) & (Z < kHuge) & (q > 0.f) & (o < 2.f) & (det > 0.f) & (det < kHuge) &
                        (xx < kHuge) & (yy < kHuge) & (A > 0.f) & (C > 0.f) & (std::fabs(px) < kHuge) &
                        (std::fabs(py) < kHuge) & (tint < kHuge);
      q = seen ? q : 0.f;
      const float inverse_a = 1.f / A, exact_x = std::sqrt(q * xx), exact_y = std::sqrt(q * yy);
      // A touch more than exact: the tests for tiles and blocks round, too.
      const float half_x = exact_x * 1.0001f + 1e-3f, half_y = exact_y * 1.0001f + 1e-3f;
      field[0][j] = px, field[1][j] = py;
      // The conic's square root: [across shear; 0 down], as C - B^2 / A is 1 / yy.
      const float across = std::sqrt(0.5f * kLog2E * A), slope = -B * inverse_a;
      field[2][j] = across, field[3][j] = -slope * across, field[4][j] = std::sqrt(0.5f * kLog2E / yy);
      field[5][j] = log2_opacity;
      field[6][j] = red, field[7][j] = green, field[8][j] = blue;
      field[9][j] = slope, field[10][j] = q * inverse_a, field[11][j] = inverse * inverse_a * inverse_a;
      field[12][j] = exact_x * xy / xx, field[13][j] = half_y, field[14][j] = Z, field[15][j] = 0.f;
      range[0][j] = clamped_tile(px - half_x, tiles_x, 0.f), range[1][j] = clamped_tile(px + half_x, tiles_x - 1.f, -1.f);
      range[2][j] = clamped_tile(py - half_y, tiles_y, 0.f), range[3][j] = clamped_tile(py + half_y, tiles_y - 1.f, -1.f);
      range[1][j] = seen ? range[1][j] : -1;
      mean2d[0][j] = seen ? px : 0.f, mean2d[1][j] = seen ? py : 0.f;
      const float reaches = half_x > half_y ? half_x : half_y;
      const int whole = (int)(reaches < 1e9f ? reaches : 1e9f);
      radius[j] = seen ? whole + ((float)whole < reaches) : 0;
    }
    for (int j = 0; j < n; j++) {
      float* row = reinterpret_cast<float*>(out + i + j);
      for (int k = 0; k < kFields; k++) row[k] = field[k][j];
      ranges[i + j] = {(int16_t)range[0][j], (int16_t)range[1][j], (int16_t)range[2][j], (int16_t)range[3][j]};
    }
    if (centres.means2d) scatter<2>(centres.means2d, i, n, mean2d);
    if (centres.radii) std::memcpy(centres.radii + i, radius, sizeof(int) * (size_t)n);
  }
}

void project_backward(const Workspace& ws, const Inputs& in, const Gradients& out, int first, int last) {
  const Projected* projected = ws.projected.get();
  const ColorMap colors = ws.color_map;
  const float fx = ws.camera.fx, fy = ws.camera.fy;
  float V[12];
  std::memcpy(V, ws.camera.view, sizeof V);
  alignas(64) float mean[3][kLanes], scale[3][kLanes], quat[4][kLanes], root[3][kLanes], moment[6][kLanes];
  alignas(64) float g_mean[3][kLanes], g_scale[3][kLanes], g_quat[4][kLanes], g_mean2d[2][kLanes];
  bool touched[kLanes];
  for (int i = first; i < last; i += kLanes) {
    const int n = std::min(kLanes, last - i);
    gather<3>(in.means, i, n, mean), gather<3>(in.scales, i, n, scale), gather<4>(in.quats, i, n, quat);
    for (int j = 0; j < kLanes; j++) {
      const int g = i + (j < n ? j : 0);
      root[0][j] = projected[g].across, root[1][j] = projected[g].slope, root[2][j] = projected[g].down;
      float total[kMoments] = {};
      const uint32_t slots = ws.slots.get()[g];
      const float* slot = ws.moments.get() + (size_t)ws.first_slot.get()[g] * kSlot;
      for (uint32_t s = 0; s < slots; s++, slot += kSlot)
        for (int k = 0; k < kMoments; k++) total[k] += slot[k];
      touched[j] = slots > 0;
      for (int k = 0; k < 6; k++) moment[k][j] = total[k];
      if (j < n) {
        for (int k = 0; k < 3; k++) {
          const float value = in.colors[3 * (size_t)g + k];
          const bool answers = colors.scale * value + colors.shift >= colors.least;
          out.colors[3 * (size_t)g + k] = answers ? colors.scale * total[6 + k] : 0.f;
        }
        // moment 0 is sum(alpha dL/dalpha), and alpha is proportional to the opacity
        out.opacities[g] = touched[j] ? total[0] / in.opacities[g] : 0.f;
      }
    }
#pragma omp simd
    for (int j = 0; j < kLanes; j++) {
      const float across = root[0][j], slope = root[1][j], down = root[2][j];
      const float A = across * across * (2.f / kLog2E), B = -slope * A, C = down * down * (2.f / kLog2E) - slope * B;
      // From the round coordinates back to pixels: dx = u / across + slope dy, dy = v / down.
      const float per_u = 1.f / across, per_v = 1.f / down;
      const float m2 = moment[2][j] * per_v, m1 = moment[1][j] * per_u + slope * m2;
      const float uv = moment[4][j] * per_u * per_v, m5 = moment[5][j] * per_v * per_v, m4 = uv + slope * m5;
      const float m3 = moment[3][j] * per_u * per_u + slope * (uv + m4);
      const float gpx = A * m1 + B * m2, gpy = B * m1 + C * m2;
      g_mean2d[0][j] = gpx, g_mean2d[1][j] = gpy;
      // Conic K = Cov^-1, so dL/dCov = -K G K with G the gradient of K's entries.
      const float gA = -0.5f * m3, gB = -0.5f * m4, gC = -0.5f * m5;
      const float u00 = A * gA + B * gB, u01 = A * gB + B * gC, u10 = B * gA + C * gB, u11 = B * gB + C * gC;
      const float gxx = -(u00 * A + u01 * B), gxy = -(u00 * B + u01 * C), gyy = -(u10 * B + u11 * C);
      // Again what the forward pass made.
      const float x = mean[0][j], y = mean[1][j], z = mean[2][j];
      const float X = V[0] * x + V[1] * y + V[2] * z + V[3];
      const float Y = V[4] * x + V[5] * y + V[6] * z + V[7];
      const float Z = V[8] * x + V[9] * y + V[10] * z + V[11];
      const Rotation R(quat[0][j], quat[1][j], quat[2][j], quat[3][j]);
      const float iz = 1.f / Z, u = X * iz, v = Y * iz, jx = fx * iz, jy = fy * iz;
      const float a0 = jx * (V[0] - u * V[8]), a1 = jx * (V[1] - u * V[9]), a2 = jx * (V[2] - u * V[10]);
      const float b0 = jy * (V[4] - v * V[8]), b1 = jy * (V[5] - v * V[9]), b2 = jy * (V[6] - v * V[10]);
      const float s0 = scale[0][j], s1 = scale[1][j], s2 = scale[2][j];
      const float e0 = a0 * R.r00 + a1 * R.r10 + a2 * R.r20, f0 = b0 * R.r00 + b1 * R.r10 + b2 * R.r20;
      const float e1 = a0 * R.r01 + a1 * R.r11 + a2 * R.r21, f1 = b0 * R.r01 + b1 * R.r11 + b2 * R.r21;
      const float e2 = a0 * R.r02 + a1 * R.r12 + a2 * R.r22, f2 = b0 * R.r02 + b1 * R.r12 + b2 * R.r22;
      const float p0 = e0 * s0, p1 = e1 * s1, p2 = e2 * s2, t0 = f0 * s0, t1 = f1 * s1, t2 = f2 * s2;
      // xx = p.p, xy = p.t, yy = t.t; gxy belongs to each of the two equal entries.
      const float gp0 = 2 * (gxx * p0 + gxy * t0), gt0 = 2 * (gxy * p0 + gyy * t0);
      const float gp1 = 2 * (gxx * p1 + gxy * t1), gt1 = 2 * (gxy * p1 + gyy * t1);
      const float gp2 = 2 * (gxx * p2 + gxy * t2), gt2 = 2 * (gxy * p2 + gyy * t2);
      g_scale[0][j] = gp0 * e0 + gt0 * f0, g_scale[1][j] = gp1 * e1 + gt1 * f1, g_scale[2][j] = gp2 * e2 + gt2 * f2;
      const float ge0 = gp0 * s0, ge1 = gp1 * s1, ge2 = gp2 * s2, gf0 = gt0 * s0, gf1 = gt1 * s1, gf2 = gt2 * s2;
      // Rotation entries, then the unit quaternion, then its length taken out.
      const float r00 = ge0 * a0 + gf0 * b0, r10 = ge0 * a1 + gf0 * b1, r20 = ge0 * a2 + gf0 * b2;
      const float r01 = ge1 * a0 + gf1 * b0, r11 = ge1 * a1 + gf1 * b1, r21 = ge1 * a2 + gf1 * b2;
      const float r02 = ge2 * a0 + gf2 * b0, r12 = ge2 * a1 + gf2 * b1, r22 = ge2 * a2 + gf2 * b2;
      const float dw = 2 * (-R.z * r01 + R.y * r02 + R.z * r10 - R.x * r12 - R.y * r20 + R.x * r21);
      const float dx = 2 * (R.y * r01 + R.z * r02 + R.y * r10 - 2 * R.x * r11 - R.w * r12 + R.z * r20 + R.w * r21 - 2 * R.x * r22);
      const float dy = 2 * (-2 * R.y * r00 + R.x * r01 + R.w * r02 + R.x * r10 + R.z * r12 - R.w * r20 + R.z * r21 - 2 * R.y * r22);
      const float dz = 2 * (-2 * R.z * r00 - R.w * r01 + R.x * r02 + R.w * r10 - 2 * R.z * r11 + R.y * r12 + R.x * r20 + R.y * r21);
      const float along = dw * R.w + dx * R.x + dy * R.y + dz * R.z;
      g_quat[0][j] = (dw - along * R.w) * R.inverse, g_quat[1][j] = (dx - along * R.x) * R.inverse;
      g_quat[2][j] = (dy - along * R.y) * R.inverse, g_quat[3][j] = (dz - along * R.z) * R.inverse;
      const float ga0 = ge0 * R.r00 + ge1 * R.r01 + ge2 * R.r02, gb0 = gf0 * R.r00 + gf1 * R.r01 + gf2 * R.r02;
      const float ga1 = ge0 * R.r10 + ge1 * R.r11 + ge2 * R.r12, gb1 = gf0 * R.r10 + gf1 * R.r11 + gf2 * R.r12;
      const float ga2 = ge0 * R.r20 + ge1 * R.r21 + ge2 * R.r22, gb2 = gf0 * R.r20 + gf1 * R.r21 + gf2 * R.r22;
      const float gjx = ga0 * (V[0] - u * V[8]) + ga1 * (V[1] - u * V[9]) + ga2 * (V[2] - u * V[10]);
      const float gjy = gb0 * (V[4] - v * V[8]) + gb1 * (V[5] - v * V[9]) + gb2 * (V[6] - v * V[10]);
      const float gu = fx * gpx - jx * (ga0 * V[8] + ga1 * V[9] + ga2 * V[10]);
      const float gv = fy * gpy - jy * (gb0 * V[8] + gb1 * V[9] + gb2 * V[10]);
      const float giz = gu * X + gv * Y + gjx * fx + gjy * fy;
      const float gX = gu * iz, gY = gv * iz, gZ = -giz * iz * iz;
      g_mean[0][j] = V[0] * gX + V[4] * gY + V[8] * gZ;
      g_mean[1][j] = V[1] * gX + V[5] * gY + V[9] * gZ;
      g_mean[2][j] = V[2] * gX + V[6] * gY + V[10] * gZ;
    }
    for (int j = 0; j < n; j++) {
      if (touched[j]) continue;  // not in the picture: no pull, whatever its numbers are
      for (int k = 0; k < 3; k++) g_mean[k][j] = g_scale[k][j] = 0;
      for (int k = 0; k < 4; k++) g_quat[k][j] = 0;
      g_mean2d[0][j] = g_mean2d[1][j] = 0;
    }
    scatter<3>(out.means, i, n, g_mean), scatter<3>(out.scales, i, n, g_scale), scatter<4>(out.quats, i, n, g_quat);
    if (out.means2d) scatter<2>(out.means2d, i, n, g_mean2d);
  }
}

}  // namespace gst
