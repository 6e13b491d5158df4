// The one exception type of the native side; native/bind turns it into a message for Python.
#ifndef LIMBECK_BASE_ERROR_H_
#define LIMBECK_BASE_ERROR_H_

#include <stdexcept>
#include <string>

namespace limbeck {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace limbeck

#endif  // LIMBECK_BASE_ERROR_H_
