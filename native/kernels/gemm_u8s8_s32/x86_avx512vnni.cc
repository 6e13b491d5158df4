// 8 rows x 32 tokens: 16 accumulators, two activation loads and eight broadcasts for 16 dot-product instructions.
#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/dot_avx512vnni.h"
#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"
#include "kernels/int8_output_vec.h"

namespace limbeck {
namespace {

// The accumulators are named one by one: as an array they would live in memory, because gcc 12 unrolls too late.
#define LIMBECK_FOR_EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

template <int kPanels, Ending kEnding>
inline void Tile(const GemmU8S8Args& args, int64_t group, int64_t panel) {
  static_assert(kRowGroup == 8 && (kPanels == 1 || kPanels == 2), "one accumulator is named for each row and panel");
  const int64_t panel_stride = args.quads * kLanes * kQuad;
  const uint8_t* a = args.a + panel * panel_stride;
  const int8_t* w = args.w + group * args.quads * kRowGroup * kQuad;
  const int64_t ahead = args.quads * kRowGroup * kQuad;
#define LIMBECK_ZERO(r)                      \
  __m512i first##r = _mm512_setzero_si512(); \
  __m512i second##r = _mm512_setzero_si512();
  LIMBECK_FOR_EACH_ROW(LIMBECK_ZERO)
#undef LIMBECK_ZERO
  for (int64_t quad = 0; quad < args.quads; ++quad) {
    // The next group's, from the last-level cache or from memory; a prefetch beyond the end is no access.
    __builtin_prefetch(w + ahead);
    const __m512i lanes = _mm512_loadu_si512(a);
    const __m512i more_lanes = kPanels == 2 ? _mm512_loadu_si512(a + panel_stride) : lanes;
#define LIMBECK_DOT(r)                                     \
  {                                                        \
    const __m512i weights = LoadWeights(w + r * kQuad);    \
    Dot(first##r, lanes, weights);                         \
    if (kPanels == 2) Dot(second##r, more_lanes, weights); \
  }
    LIMBECK_FOR_EACH_ROW(LIMBECK_DOT)
#undef LIMBECK_DOT
    a += kLanes * kQuad;
    w += kRowGroup * kQuad;
  }
  const int64_t row = group * kRowGroup;
  Column column = BeginColumn<kEnding>(args.output, panel, 0);
#define LIMBECK_FINISH(r) Finish<kEnding>(args.output, column, row + r, r == 7, panel, 0, first##r);
  LIMBECK_FOR_EACH_ROW(LIMBECK_FINISH)
#undef LIMBECK_FINISH
  EndColumn<kEnding>(args.output, column, panel, 0);
  if constexpr (kPanels == 2) {
    column = BeginColumn<kEnding>(args.output, panel + 1, 0);
#define LIMBECK_FINISH(r) Finish<kEnding>(args.output, column, row + r, r == 7, panel + 1, 0, second##r);
    LIMBECK_FOR_EACH_ROW(LIMBECK_FINISH)
#undef LIMBECK_FINISH
    EndColumn<kEnding>(args.output, column, panel + 1, 0);
  }
}

template <Ending kEnding>
void Run(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, int64_t panel_end) {
  for (int64_t group = group_begin; group < group_end; ++group) {
    int64_t panel = panel_begin;
    for (; panel + 2 <= panel_end; panel += 2) Tile<2, kEnding>(args, group, panel);
    if (panel < panel_end) Tile<1, kEnding>(args, group, panel);
  }
}

}  // namespace

void gemm_u8s8_s32_avx512vnni(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                              int64_t panel_end) {
  switch (EndingOf(args.output)) {
    case Ending::kPlain:
      return Run<Ending::kPlain>(args, group_begin, group_end, panel_begin, panel_end);
    case Ending::kResidual:
      return Run<Ending::kResidual>(args, group_begin, group_end, panel_begin, panel_end);
    case Ending::kStaged:
      return Run<Ending::kStaged>(args, group_begin, group_end, panel_begin, panel_end);
    case Ending::kFixed:
      return Run<Ending::kFixed>(args, group_begin, group_end, panel_begin, panel_end);
  }
}

}  // namespace limbeck
