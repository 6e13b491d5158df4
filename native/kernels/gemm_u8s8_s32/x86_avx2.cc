// Exact without VNNI: maddubs would saturate at int16, so bytes are widened to 16 bits and summed by madd, which cannot
// overflow (2 * 255 * 127 fits int32). A quad (k0 k1 k2 k3) is split into its even and its odd bytes.
#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/gemm_u8s8_s32/epilogue.h"

namespace limbeck {
namespace {

constexpr int kVecs = kLanes / kWidth;  // registers a panel
constexpr int kRows = 4;                // rows a tile: 8 accumulators, and room for the widened operands

template <Activation kActivation>
inline void Tile(const GemmU8S8Args& args, int64_t group, int first_row, int64_t panel) {
  const uint8_t* a = args.a + panel * args.quads * kLanes * kQuad;
  const int8_t* w = args.w + (group * args.quads * kRowGroup + first_row) * kQuad;
  const __m256i low_bytes = _mm256_set1_epi16(0x00ff);
  __m256i sum[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) sum[r][v] = _mm256_setzero_si256();
  }
  for (int64_t quad = 0; quad < args.quads; ++quad) {
    __m256i even[kVecs];
    __m256i odd[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      const __m256i lanes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a) + v);
      even[v] = _mm256_and_si256(lanes, low_bytes);
      odd[v] = _mm256_srli_epi16(lanes, 8);
    }
    for (int r = 0; r < kRows; ++r) {
      int32_t packed;
      __builtin_memcpy(&packed, w + r * kQuad, sizeof(packed));
      const __m256i weights = _mm256_set1_epi32(packed);
      const __m256i weights_even = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8);
      const __m256i weights_odd = _mm256_srai_epi16(weights, 8);
      for (int v = 0; v < kVecs; ++v) {
        sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(even[v], weights_even));
        sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(odd[v], weights_odd));
      }
    }
    a += kLanes * kQuad;
    w += kRowGroup * kQuad;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) {
      Finish<kActivation>(args, group * kRowGroup + first_row + r, panel, v * kWidth, sum[r][v]);
    }
  }
}

template <Activation kActivation>
void Run(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, int64_t panel_end) {
  for (int64_t group = group_begin; group < group_end; ++group) {
    for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
      for (int row = 0; row < kRowGroup; row += kRows) Tile<kActivation>(args, group, row, panel);
    }
  }
}

}  // namespace

void gemm_u8s8_s32_avx2(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                        int64_t panel_end) {
  switch (args.activation) {
    case Activation::kGelu:
      return Run<Activation::kGelu>(args, group_begin, group_end, panel_begin, panel_end);
    case Activation::kGeluTanh:
      return Run<Activation::kGeluTanh>(args, group_begin, group_end, panel_begin, panel_end);
    case Activation::kRelu:
      return Run<Activation::kRelu>(args, group_begin, group_end, panel_begin, panel_end);
    case Activation::kTanh:
      return Run<Activation::kTanh>(args, group_begin, group_end, panel_begin, panel_end);
    case Activation::kIdentity:
      return Run<Activation::kIdentity>(args, group_begin, group_end, panel_begin, panel_end);
  }
}

}  // namespace limbeck
