// 8 rows x 32 tokens: 16 accumulators, two activation loads and eight broadcasts for 16 dot-product instructions.
#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/gemm_bf16_f32/gemm_bf16_f32.h"
#include "kernels/round_f32_bf16/pairs_avx512bf16.h"

namespace limbeck {
namespace {

// The accumulators are named one by one: as an array they would live in memory, because gcc 12 unrolls too late.
#define LIMBECK_FOR_EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define LIMBECK_FOR_EACH_PAIR(DO) DO(0, 1) DO(2, 3) DO(4, 5) DO(6, 7)

enum class Ending { kPlain, kResidual, kPairs };

inline __m512i LoadWeights(const uint16_t* w) {
  int32_t pair;
  __builtin_memcpy(&pair, w, sizeof(pair));
  return _mm512_set1_epi32(pair);
}

inline void Dot(Vec& sum, __m512i lanes, __m512i weights) {
  sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(lanes), reinterpret_cast<__m512bh>(weights));
}

template <Ending kEnding>
inline void Finish(const GemmBf16Args& args, int64_t row, int64_t panel, Vec first, Vec second) {
  if (kEnding == Ending::kPairs) {
    StorePairs(args.out_pairs + (panel * args.out_rows + row) * kLanes, ActivateCoarse(args.activation, first),
               ActivateCoarse(args.activation, second));
    return;
  }
  const int64_t at = (panel * args.out_rows + row) * kLanes;
  first = ActivateCoarse(args.activation, first);
  second = ActivateCoarse(args.activation, second);
  if (kEnding == Ending::kResidual) {
    first = Add(first, Load(args.residual + at));
    second = Add(second, Load(args.residual + at + kLanes));
  }
  Store(args.out + at, first);
  Store(args.out + at + kLanes, second);
}

template <int kPanels, Ending kEnding>
inline void Tile(const GemmBf16Args& args, int64_t group, int64_t panel) {
  static_assert(kRowGroup == 8 && (kPanels == 1 || kPanels == 2), "one accumulator is named for each row and panel");
  const int64_t panel_stride = args.a_rows * kLanes;
  const uint16_t* a = args.a + panel * panel_stride;
  const uint16_t* w = args.w + group * args.pairs * kRowGroup * kPair;
  const int64_t ahead = args.pairs * kRowGroup * kPair;
  const int64_t row = group * kRowGroup;
#define LIMBECK_BEGIN(r)                    \
  Vec first##r = Set(args.bias[row + (r)]); \
  Vec second##r = first##r;
  LIMBECK_FOR_EACH_ROW(LIMBECK_BEGIN)
#undef LIMBECK_BEGIN
  for (int64_t pair = 0; pair < args.pairs; ++pair) {
    // The next group's, from the last-level cache or from memory; a prefetch beyond the end is no access.
    __builtin_prefetch(w + ahead);
    const __m512i lanes = _mm512_loadu_si512(a);
    const __m512i more_lanes = kPanels == 2 ? _mm512_loadu_si512(a + panel_stride) : lanes;
#define LIMBECK_DOT(r)                                     \
  {                                                        \
    const __m512i weights = LoadWeights(w + (r) * kPair);  \
    Dot(first##r, lanes, weights);                         \
    if (kPanels == 2) Dot(second##r, more_lanes, weights); \
  }
    LIMBECK_FOR_EACH_ROW(LIMBECK_DOT)
#undef LIMBECK_DOT
    a += kLanes * kPair;
    w += kRowGroup * kPair;
  }
#define LIMBECK_FINISH(r, s)                                   \
  Finish<kEnding>(args, row + (r), panel, first##r, first##s); \
  if (kPanels == 2) Finish<kEnding>(args, row + (r), panel + 1, second##r, second##s);
  LIMBECK_FOR_EACH_PAIR(LIMBECK_FINISH)
#undef LIMBECK_FINISH
}

template <Ending kEnding>
void Run(const GemmBf16Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, int64_t panel_end) {
  for (int64_t group = group_begin; group < group_end; ++group) {
    int64_t panel = panel_begin;
    for (; panel + 2 <= panel_end; panel += 2) Tile<2, kEnding>(args, group, panel);
    if (panel < panel_end) Tile<1, kEnding>(args, group, panel);
  }
}

}  // namespace

void gemm_bf16_f32_avx512bf16(const GemmBf16Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                              int64_t panel_end) {
  if (args.out == nullptr) {
    Run<Ending::kPairs>(args, group_begin, group_end, panel_begin, panel_end);
  } else if (args.residual != nullptr) {
    Run<Ending::kResidual>(args, group_begin, group_end, panel_begin, panel_end);
  } else {
    Run<Ending::kPlain>(args, group_begin, group_end, panel_begin, panel_end);
  }
}

}  // namespace limbeck
