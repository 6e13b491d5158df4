// 4 rows x 16 tokens: 8 accumulators, and room for the operands.
#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/dot_avxvnni.h"
#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"
#include "kernels/int8_output_vec.h"

namespace limbeck {
namespace {

constexpr int kVecs = kLanes / kWidth;  // registers a panel
constexpr int kRows = 4;                // rows a tile

template <Ending kEnding>
inline void Tile(const GemmU8S8Args& args, int64_t group, int first_row, int64_t panel) {
  const uint8_t* a = args.a + panel * args.quads * kLanes * kQuad;
  const int8_t* w = args.w + (group * args.quads * kRowGroup + first_row) * kQuad;
  __m256i sum[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) sum[r][v] = _mm256_setzero_si256();
  }
  const int64_t ahead = args.quads * kRowGroup * kQuad;
  for (int64_t quad = 0; quad < args.quads; ++quad) {
    __builtin_prefetch(w + ahead);  // the next group's, from the last-level cache or from memory
    Lanes lanes[kVecs];
    for (int v = 0; v < kVecs; ++v) lanes[v] = LoadLanes(a + v * kWidth * kQuad);
    for (int r = 0; r < kRows; ++r) {
      const Weights weights = LoadWeights(w + r * kQuad);
      for (int v = 0; v < kVecs; ++v) Dot(sum[r][v], lanes[v], weights);
    }
    a += kLanes * kQuad;
    w += kRowGroup * kQuad;
  }
  for (int v = 0; v < kVecs; ++v) {
    Column column = BeginColumn<kEnding>(args.output, panel, v * kWidth);
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = group * kRowGroup + first_row + r;
      Finish<kEnding>(args.output, column, row, r + 1 == kRows, panel, v * kWidth, sum[r][v]);
    }
    EndColumn<kEnding>(args.output, column, panel, v * kWidth);
  }
}

template <Ending kEnding>
void Run(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, int64_t panel_end) {
  for (int64_t group = group_begin; group < group_end; ++group) {
    for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
      for (int row = 0; row < kRowGroup; row += kRows) Tile<kEnding>(args, group, row, panel);
    }
  }
}

}  // namespace

void gemm_u8s8_s32_avxvnni(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
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
