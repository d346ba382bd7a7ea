# Maximum likelihood of `logistic.cpp` by TMB's Laplace approximation, with standard errors.
#
#   Rscript tmb.R HERE FOLDER VISITS.csv NAME=START ...     (FOLDER holds what is built)

arguments <- commandArgs(trailingOnly = TRUE)
source(file.path(arguments[1], "clock.R"))
library(TMB)

kept <- Sys.getenv("BENCH_BUILD", arguments[2])  # what is built stays there for the next time
file.copy(file.path(arguments[1], "logistic.cpp"), kept, overwrite = TRUE, copy.date = TRUE)
setwd(kept)
stale <- !isTRUE(file.mtime(dynlib("logistic")) > file.mtime("logistic.cpp"))
built <- clocked(if (stale) compile("logistic.cpp", flags = "-O2 -w"))
dyn.load(dynlib("logistic"))

reading <- clocked(visits_of(arguments[3]))
visits <- reading$value
start <- given(arguments[-(1:3)])
n <- length(unique(visits$subject))
data <- list(y = matrix(visits$y, ncol = n), time = matrix(visits$time, ncol = n))
first <- list(
  mean = start[c("asymptote", "midpoint", "scale")],
  log_sd = log(start[c("asymptote_sd", "midpoint_sd", "scale_sd")]),
  theta = c(0, 0, 0), log_sigma = log(start[["sigma"]]), u = matrix(0, 3, n)
)

made <- clocked(MakeADFun(data, first, random = "u", DLL = "logistic", silent = TRUE))
f <- made$value
f$env$tracemgc <- FALSE
control <- list(iter.max = 1000, eval.max = 1000)
searched <- clocked(suppressWarnings(nlminb(f$par, f$fn, f$gr, control = control)))
errors <- clocked(sdreport(f))

best <- searched$value
correlation <- f$report(f$env$last.par.best)$correlation
at <- unname(best$par)
sd <- exp(at[4:6])
cat(json(list(
  cpu = made$cpu + searched$cpu + errors$cpu, wall = made$wall + searched$wall + errors$wall,
  search_cpu = searched$cpu, build_cpu = built$cpu, reading_cpu = reading$cpu, peak_gb = peak_gb(),
  log_likelihood = -best$objective,
  asymptote = at[1], midpoint = at[2], scale = at[3],
  asymptote_sd = sd[1], midpoint_sd = sd[2], scale_sd = sd[3], sigma = exp(at[10]),
  correlation = correlation[lower.tri(correlation)],
  asymptote_se = summary(errors$value, "fixed")[1, 2],
  version = sprintf("R %s, TMB %s", getRversion(), packageVersion("TMB"))
)), "\n")
