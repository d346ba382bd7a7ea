# Maximum likelihood of the same model by lme4's nlmer: Laplace's approximation with the Gauss-Newton Hessian.
#
#   Rscript nlmer.R HERE FOLDER VISITS.csv NAME=START ...

arguments <- commandArgs(trailingOnly = TRUE)
source(file.path(arguments[1], "clock.R"))
suppressPackageStartupMessages(library(lme4))

reading <- clocked(visits_of(arguments[3]))
visits <- reading$value
start <- given(arguments[-(1:3)])

ran <- clocked(
  suppressWarnings(nlmer(
    y ~ SSlogis(time, asymptote, midpoint, scale) ~ asymptote + midpoint + scale | subject,
    data = visits, start = start[c("asymptote", "midpoint", "scale")]
  ))
)
fitted <- ran$value
effects <- VarCorr(fitted)$subject
fixed <- as.list(fixef(fitted))
correlation <- attr(effects, "correlation")
cat(json(list(
  cpu = ran$cpu, wall = ran$wall, reading_cpu = reading$cpu, peak_gb = peak_gb(),
  log_likelihood = as.numeric(logLik(fitted)),
  asymptote = fixed$asymptote, midpoint = fixed$midpoint, scale = fixed$scale,
  asymptote_sd = attr(effects, "stddev")[[1]], midpoint_sd = attr(effects, "stddev")[[2]],
  scale_sd = attr(effects, "stddev")[[3]], sigma = sigma(fitted),
  correlation = correlation[lower.tri(correlation)],
  asymptote_se = sqrt(as.matrix(vcov(fitted))[1, 1]),
  version = sprintf("R %s, lme4 %s", getRversion(), packageVersion("lme4"))
)), "\n")
