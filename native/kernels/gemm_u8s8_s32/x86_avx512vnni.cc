// 8 rows x 32 tokens: 16 accumulators, two activation loads and eight broadcasts for 16 dot-product instructions.
#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/gemm_u8s8_s32/epilogue.h"

namespace limbeck {
namespace {

// sum += the four products of u8 `lanes` and s8 `weights` in each 32-bit lane. Written as an instruction because gcc 12
// copies the accumulator to a fresh register and back around the intrinsic, which halves the loop's speed.
inline void DotQuads(__m512i& sum, __m512i lanes, __m512i weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(lanes), "v"(weights));
}

inline __m512i BroadcastQuad(const int8_t* w) {
  int32_t packed;
  __builtin_memcpy(&packed, w, sizeof(packed));
  return _mm512_set1_epi32(packed);
}

// The accumulators are named one by one: as an array they would live in memory, because gcc 12 unrolls too late.
#define LIMBECK_FOR_EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

template <int kPanels, Activation kActivation>
inline void Tile(const GemmU8S8Args& args, int64_t group, int64_t panel) {
  static_assert(kRowGroup == 8 && (kPanels == 1 || kPanels == 2), "one accumulator is named for each row and panel");
  const int64_t panel_stride = args.quads * kLanes * kQuad;
  const uint8_t* a = args.a + panel * panel_stride;
  const int8_t* w = args.w + group * args.quads * kRowGroup * kQuad;
#define LIMBECK_ZERO(r)                      \
  __m512i first##r = _mm512_setzero_si512(); \
  __m512i second##r = _mm512_setzero_si512();
  LIMBECK_FOR_EACH_ROW(LIMBECK_ZERO)
#undef LIMBECK_ZERO
  for (int64_t quad = 0; quad < args.quads; ++quad) {
    const __m512i lanes = _mm512_loadu_si512(a);
    const __m512i more_lanes = kPanels == 2 ? _mm512_loadu_si512(a + panel_stride) : lanes;
#define LIMBECK_DOT(r)                                          \
  {                                                             \
    const __m512i weights = BroadcastQuad(w + r * kQuad);       \
    DotQuads(first##r, lanes, weights);                         \
    if (kPanels == 2) DotQuads(second##r, more_lanes, weights); \
  }
    LIMBECK_FOR_EACH_ROW(LIMBECK_DOT)
#undef LIMBECK_DOT
    a += kLanes * kQuad;
    w += kRowGroup * kQuad;
  }
  const int64_t row = group * kRowGroup;
#define LIMBECK_FINISH(r)                                 \
  Finish<kActivation>(args, row + r, panel, 0, first##r); \
  if (kPanels == 2) Finish<kActivation>(args, row + r, panel + 1, 0, second##r);
  LIMBECK_FOR_EACH_ROW(LIMBECK_FINISH)
#undef LIMBECK_FINISH
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
