// What the tests of the attention kernels share: a case, its arguments, and the answer that it must be near.
#ifndef LIMBECK_TESTS_ATTENTION_CASE_H_
#define LIMBECK_TESTS_ATTENTION_CASE_H_

#include <cmath>
#include <vector>

#include "kernels/attention_f32/attention_f32.h"
#include "tests/check.h"

namespace limbeck::test {

inline int64_t Offset(int64_t rows, int64_t token, int64_t row) {
  return ((token / kLanes) * rows + row) * kLanes + token % kLanes;
}

// One head of one sequence: where it starts, and where its answers go.
struct Case {
  int64_t first;
  int64_t length;
  int64_t width;
  int64_t queries;
  int64_t out_token;
};

constexpr int64_t kHeads = 2;
constexpr int64_t kHead = 1;

inline AttentionArgs Args(const Case& c, const Buffer<float>& in, Buffer<float>& out, Buffer<float>& scratch) {
  AttentionArgs args;
  args.in = in.data();
  args.in_rows = 3 * kHeads * c.width;
  args.query_row = kHead * c.width;
  args.key_row = (kHeads + kHead) * c.width;
  args.value_row = (2 * kHeads + kHead) * c.width;
  args.head_width = c.width;
  args.scale = 1.0f / std::sqrt(static_cast<float>(c.width));
  args.first_token = c.first;
  args.length = c.length;
  args.queries = c.queries;
  args.out = out.data();
  args.out_rows = kHeads * c.width;
  args.out_row = kHead * c.width;
  args.out_token = c.out_token;
  args.scratch = scratch.data();
  return args;
}

// Against softmax attention in double precision.
inline void CheckReference(const Case& c, const AttentionArgs& args, double tolerance) {
  for (int64_t query = 0; query < c.queries; ++query) {
    std::vector<double> p(static_cast<size_t>(c.length));
    double highest = -1e300;
    for (int64_t key = 0; key < c.length; ++key) {
      double s = 0;
      for (int64_t d = 0; d < c.width; ++d) {
        s += static_cast<double>(args.in[Offset(args.in_rows, c.first + query, args.query_row + d)]) *
             args.in[Offset(args.in_rows, c.first + key, args.key_row + d)];
      }
      p[static_cast<size_t>(key)] = s / std::sqrt(static_cast<double>(c.width));
      highest = std::fmax(highest, p[static_cast<size_t>(key)]);
    }
    double total = 0;
    for (double& value : p) total += value = std::exp(value - highest);
    for (int64_t d = 0; d < c.width; ++d) {
      double sum = 0;
      for (int64_t key = 0; key < c.length; ++key) {
        sum += p[static_cast<size_t>(key)] * args.in[Offset(args.in_rows, c.first + key, args.value_row + d)];
      }
      const double got = args.out[Offset(args.out_rows, c.out_token + query, args.out_row + d)];
      CHECK_THAT(std::fabs(got - sum / total) < tolerance, "query %d: %g, expected %g", int(query), got, sum / total);
    }
  }
}

}  // namespace limbeck::test

#endif  // LIMBECK_TESTS_ATTENTION_CASE_H_
