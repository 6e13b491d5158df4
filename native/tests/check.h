// The little that the native tests need: a check that says where it failed, random data, buffers with guarded ends.
#ifndef LIMBECK_TESTS_CHECK_H_
#define LIMBECK_TESTS_CHECK_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#define CHECK_THAT(condition, ...)                                         \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                   \
      std::fprintf(stderr, "\n");                                          \
      std::exit(1);                                                        \
    }                                                                      \
  } while (false)

namespace limbeck::test {

using Random = std::mt19937;

// `count` elements that start `shift` elements past a 64-byte boundary, so that kernels meet unaligned pointers. The
// memory is exactly as large as it must be: sanitizers see any access beyond it.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count, int64_t shift = 0)
      : storage_(static_cast<T*>(std::malloc(static_cast<size_t>(count + shift) * sizeof(T) + 1))),
        data_(storage_ + shift),
        count_(count) {
    std::memset(static_cast<void*>(storage_), 0, static_cast<size_t>(count + shift) * sizeof(T));
  }
  ~Buffer() { std::free(storage_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return count_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

  void FillUniform(Random& random, double low, double high) {
    std::uniform_real_distribution<double> draw(low, high);
    for (int64_t i = 0; i < count_; ++i) data_[i] = static_cast<T>(draw(random));
  }
  void FillIntegers(Random& random, int low, int high) {
    std::uniform_int_distribution<int> draw(low, high);
    for (int64_t i = 0; i < count_; ++i) data_[i] = static_cast<T>(draw(random));
  }
  void Fill(T value) {
    for (int64_t i = 0; i < count_; ++i) data_[i] = value;
  }

 private:
  T* storage_;
  T* data_;
  int64_t count_;
};

template <typename T>
bool SameBits(const Buffer<T>& a, const Buffer<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size()) * sizeof(T)) == 0;
}

}  // namespace limbeck::test

#endif  // LIMBECK_TESTS_CHECK_H_
