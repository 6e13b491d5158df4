// The reference against double precision, every kernel against the reference bit for bit, wherever a sequence starts.
#include <cmath>

#include "tests/attention_case.h"
#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;
using test::Case;
using test::kHeads;

}  // namespace

int main() {
  test::Random random(5);
  const auto kernels = test::Runnable(KernelTable::attention);
  const AttentionFn reference = test::Reference(KernelTable::attention);
  int64_t cases = 0;
  for (int64_t width : {1, 3, 8, 12, 32, 64}) {
    for (int64_t length : {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 65}) {
      for (int64_t first : {0, 1, 5, 15, 16, 29}) {
        Case c = {first, length, width, length, first};
        if (cases % 3 == 1) {  // the last layer of a classifier: one query, its answer among other sequences'
          c.queries = 1;
          c.out_token = 3;
        }
        const int64_t panels = RoundUp(first + length, kLanes) / kLanes;
        Buffer<float> in(panels * 3 * kHeads * width * kLanes, 1);
        in.FillUniform(random, -4, 4);
        Buffer<float> expected(panels * kHeads * width * kLanes, 1);
        expected.Fill(-7.0f);
        Buffer<float> scratch(AttentionScratch(length, width));
        const AttentionArgs args = Args(c, in, expected, scratch);
        reference(args);
        CheckReference(c, args, 1e-4);
        for (const auto& kernel : kernels) {
          Buffer<float> out(expected.size(), 1);
          out.Fill(-7.0f);  // what belongs to other tokens and heads must stay
          kernel.run(Args(c, in, out, scratch));
          CHECK_THAT(SameBits(out, expected), "%s differs: width %d, length %d, first %d", kernel.name, int(width),
                     int(length), int(first));
        }
        ++cases;
      }
    }
  }
  test::Report(kernels, cases);
  return 0;
}
