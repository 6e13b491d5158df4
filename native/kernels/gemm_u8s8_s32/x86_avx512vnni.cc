// 8 rows x 32 tokens: 16 accumulators, two activation loads and eight broadcasts for 16 dot-product instructions.
#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/gemm_u8s8_s32/epilogue.h"

namespace limbeck {
namespace {

template <int kPanels, Activation kActivation>
inline void Tile(const GemmU8S8Args& args, int64_t group, int64_t panel) {
  const int64_t panel_stride = args.quads * kLanes * kQuad;
  const uint8_t* a = args.a + panel * panel_stride;
  const int8_t* w = args.w + group * args.quads * kRowGroup * kQuad;
  __m512i sum[kRowGroup][kPanels];
  for (int r = 0; r < kRowGroup; ++r) {
    for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_si512();
  }
  for (int64_t quad = 0; quad < args.quads; ++quad) {
    __m512i lanes[kPanels];
    for (int p = 0; p < kPanels; ++p) lanes[p] = _mm512_loadu_si512(a + p * panel_stride);
    for (int r = 0; r < kRowGroup; ++r) {
      int32_t packed;
      __builtin_memcpy(&packed, w + r * kQuad, sizeof(packed));
      const __m512i weights = _mm512_set1_epi32(packed);
      for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], lanes[p], weights);
    }
    a += kLanes * kQuad;
    w += kRowGroup * kQuad;
  }
  for (int r = 0; r < kRowGroup; ++r) {
    for (int p = 0; p < kPanels; ++p) Finish<kActivation>(args, group * kRowGroup + r, panel + p, 0, sum[r][p]);
  }
}

template <Activation kActivation>
void Run(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, int64_t panel_end) {
  for (int64_t group = group_begin; group < group_end; ++group) {
    int64_t panel = panel_begin;
    for (; panel + 2 <= panel_end; panel += 2) Tile<2, kActivation>(args, group, panel);
    if (panel < panel_end) Tile<1, kActivation>(args, group, panel);
  }
}

}  // namespace

void gemm_u8s8_s32_avx512vnni(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
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
