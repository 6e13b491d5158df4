#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/attention_s16/attention_s16.h"

namespace limbeck {
namespace {

constexpr int kTileVecs = 2;
constexpr int kTileRows = 4;

// Instructions rather than intrinsics: around those gcc 12 keeps one of eight sums in memory, and each step then waits
// for the store of the step before.
inline void DotPairs(IntVec& sum, IntVec lanes, IntVec weights) {
  IntVec products;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(lanes), "x"(weights));
}

}  // namespace
}  // namespace limbeck

#include "kernels/attention_s16/body.inc"

namespace limbeck {

void attention_s16_avx2(const AttentionArgs& args) { Run(args); }

}  // namespace limbeck
