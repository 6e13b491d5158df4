// 4 keys x 16 queries, then 4 value features x 16 queries: 8 accumulators.
#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/attention_f32/attention_f32.h"

namespace limbeck {
namespace {
constexpr int kTileKeys = 4;
constexpr int kTileVecs = 2;
}  // namespace
}  // namespace limbeck

#include "kernels/attention_f32/body.inc"

namespace limbeck {

void attention_f32_avx2(const AttentionArgs& args) { Run(args); }

}  // namespace limbeck
