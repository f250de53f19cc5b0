// The rasterizer's data: what passes between projection, tiling and blending.
//
// A picture is cut into tiles of 32x32 pixels; a tile is 64 blocks of 4x4 pixels, one block being
// one 16-lane vector. For every Gaussian and tile that meet there is a Pair with a bit for each
// block that the Gaussian's ellipse touches; the blender visits just those. Pairs of a Gaussian own
// consecutive gradient slots, which are summed in a fixed order: no atomics, and the same bits
// for any number of threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace gst {

constexpr int kTile = 32, kBlock = 4, kBlocksAcross = kTile / kBlock, kBlocks = 64, kTilePixels = kTile * kTile;
constexpr int kChunk = 2048;       // Gaussians per task
constexpr int kLanes = 16;
constexpr int kAhead = 8;          // entries of a list that are fetched before they are due

constexpr float kDilation = 0.3f;  // pixels^2 added to the projected covariance (Kerbl et al. 2023)
constexpr float kNear = 0.01f;     // world units in front of the camera
constexpr float kAlphaMost = 0.99f;
constexpr float kLog2AlphaLeast = -7.994353436858858f;  // log2(1/255): the cut-off
constexpr float kTransmittanceLeast = 1e-4f;            // a pixel this dark is finished
constexpr float kHuge = 1e30f;     // beyond this a number is treated as damaged
constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
constexpr int kNever = 0x7fffffff;
constexpr uint64_t kMostPairs = 0x7fffff00;  // they are counted in 32 bits
constexpr int kMoments = 9, kSlot = 12;  // floats used and reserved in a gradient slot

// A buffer that only grows; its old content is not kept.
template <class T> class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }
  T* reserve(size_t count) {
    if (count > capacity_) {
      std::free(data_);
      data_ = nullptr;
      capacity_ = count + count / 4 + 64;
      data_ = static_cast<T*>(std::aligned_alloc(64, (capacity_ * sizeof(T) + 63) / 64 * 64));
      if (!data_) { capacity_ = 0; throw std::bad_alloc(); }
    }
    return data_;
  }
  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t capacity_ = 0;
};

// One projected Gaussian. In coordinates where it is round, u = across dx + shear dy and v = down dy
// of the offset (dx, dy) from its centre, log2(alpha) is log2_opacity - u^2 - v^2.
struct alignas(64) Projected {
  float x, y, across, shear, down, log2_opacity, red, green, blue;
  // The ellipse where alpha = 1/255: at height dy its x runs over slope*dy +- sqrt(reach - bend*dy^2).
  float slope, reach, bend;
  float dy_at_right;  // height of its rightmost point
  float half_y;       // half of its height
  float depth, unused;
};
static_assert(sizeof(Projected) == 64, "one cache line");

struct TileRange { int16_t x0, x1, y0, y1; };  // inclusive; x1 < x0 where a Gaussian is not seen

struct Pair { uint64_t blocks; uint32_t gaussian, slot; };

struct Camera { float fx, fy, cx, cy, view[12]; int width, height; };

// Colours may come as the constant harmonic: colour = max(scale * value + shift, least).
struct ColorMap { float scale, shift, least; };
constexpr ColorMap kPlainColors{1.f, 0.f, -kHuge}, kHarmonicColors{0.28209479177387814f, 0.5f, 0.f};

struct Workspace {
  int width = 0, height = 0, tiles_x = 0, tiles_y = 0, count = -1;
  bool keeps_state = false;
  Camera camera{};
  ColorMap color_map{};
  Buffer<Projected> projected;
  Buffer<TileRange> ranges;
  Buffer<uint32_t> first_slot, slots;  // of a Gaussian
  Buffer<uint32_t> chunk_first, chunk_last;  // slots of a chunk of Gaussians: room for, and in use
  size_t slot_count = 0;
  Buffer<Pair> pairs;                  // by slot
  Buffer<uint32_t> pair_tile, pair_depth;  // by slot; a depth as its bits
  Buffer<int> chunk_tiles;             // by chunk and tile: how many pairs, then where the next goes
  Buffer<uint64_t> unsorted, sorting;  // depth and slot, by tile
  Buffer<Pair> listed;                 // by tile and depth
  Buffer<int> tile_first, tile_order;  // where a tile's list begins; the longest lists first
  Buffer<float> transmittance;         // of each pixel in the end, by tile and block
  Buffer<int> death;                   // index of the pair that finished each pixel
  Buffer<float> moments;               // gradient slots
  int tiles() const { return tiles_x * tiles_y; }
};

struct Inputs { const float *means, *scales, *quats, *opacities, *colors; };
struct Centres { float* means2d; int* radii; };  // both may be null
struct Gradients { float *means, *scales, *quats, *opacities, *colors, *means2d; };
// Pictures [H, W, 3] and alpha [H, W]; a background that is null is black. Either `bytes`, or the
// other two.
struct Canvas { float *image, *alpha; uint8_t* bytes; const float* background; };
struct Pull { const float *image, *alpha, *background; };  // gradients of the canvas; alpha may be null

void project(Workspace&, const Inputs&, const Centres&, int first, int last);
void project_backward(const Workspace&, const Inputs&, const Gradients&, int first, int last);
void make_room_for_pairs(Workspace&);
void pair_with_tiles(Workspace&, int chunk);
void lay_out_tiles(Workspace&);
void scatter_to_tiles(Workspace&, int chunk);
void sort_tile(Workspace&, int tile);
void blend_tile(Workspace&, int tile, const Canvas&);
void blend_tile_backward(Workspace&, int tile, const Pull&);
int64_t blocks_evaluated(const Workspace&, int tile);  // by the last forward pass, which kept its state

inline int chunks(int count) { return (count + kChunk - 1) / kChunk; }
inline int chunk_end(int count, int chunk) { return count < (chunk + 1) * kChunk ? count : (chunk + 1) * kChunk; }

}  // namespace gst
