# CPU seconds of this process and its children, and wall seconds, of an expression; peak memory; a line of JSON.

clocked <- function(expression) {
  before <- proc.time()
  value <- force(expression)
  spent <- proc.time() - before
  list(value = value, cpu = sum(spent[c(1, 2, 4, 5)], na.rm = TRUE), wall = spent[[3]])
}

peak_gb <- function() {
  status <- readLines("/proc/self/status")
  as.numeric(gsub("[^0-9]", "", grep("VmHWM", status, value = TRUE))) / 1024^2
}

json <- function(x) {
  if (is.list(x)) {
    paste0("{", paste0('"', names(x), '": ', vapply(x, json, ""), collapse = ", "), "}")
  } else if (is.character(x)) {
    paste0('"', x, '"')
  } else {
    numbers <- ifelse(is.finite(x), sprintf("%.12g", x), "null")
    if (length(x) == 1) numbers else paste0("[", paste(numbers, collapse = ", "), "]")
  }
}

# Everybody begins at the same values: those that dpm's search begins with, passed by name on the command line.
given <- function(words) {
  parts <- strsplit(words, "=")
  setNames(as.numeric(vapply(parts, `[`, "", 2)), vapply(parts, `[`, "", 1))
}

# The table that dpm writes, its columns without the role before the dot.
visits_of <- function(path) {
  visits <- read.csv(path)
  names(visits) <- sub("^.*[.]", "", names(visits))
  visits
}
