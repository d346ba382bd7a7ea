# Maximum likelihood of the same model by nlme, whose criterion linearises the course around each subject's effects.
#
#   Rscript nlme.R HERE FOLDER VISITS.csv NAME=START ...
#
# Spreads and correlations are where its search begins too if correlations (correlation_10, _20, _21) are among them; else it
# finds a start of its own. `tolerance` and `pnls_tolerance` may be given as well.

arguments <- commandArgs(trailingOnly = TRUE)
source(file.path(arguments[1], "clock.R"))
suppressPackageStartupMessages(library(nlme))

reading <- clocked(visits_of(arguments[3]))
visits <- reading$value
start <- given(arguments[-(1:3)])
or_else <- function(name, value) if (name %in% names(start)) start[[name]] else value

effects_of <- function(start) {
  spread <- start[c("asymptote_sd", "midpoint_sd", "scale_sd")]
  together <- diag(3)
  together[lower.tri(together)] <- start[c("correlation_10", "correlation_20", "correlation_21")]
  together[upper.tri(together)] <- t(together)[upper.tri(together)]
  matrix <- outer(spread, spread) * together / start[["sigma"]]^2
  pdSymm(unname(matrix), form = asymptote + midpoint + scale ~ 1, nam = c("asymptote", "midpoint", "scale"))
}
effects <- if ("correlation_10" %in% names(start)) effects_of(start) else pdSymm(asymptote + midpoint + scale ~ 1)
control <- nlmeControl(
  maxIter = 200, msMaxIter = 200, tolerance = or_else("tolerance", 1e-5), pnlsTol = or_else("pnls_tolerance", 1e-3)
)

ran <- clocked(
  nlme(y ~ SSlogis(time, asymptote, midpoint, scale),
    data = visits, fixed = asymptote + midpoint + scale ~ 1,
    random = list(subject = effects), start = start[c("asymptote", "midpoint", "scale")], method = "ML", control = control
  )
)
fitted <- ran$value
effects <- as.matrix(fitted$modelStruct$reStruct$subject) * fitted$sigma^2
fixed <- as.list(fixef(fitted))
correlation <- cov2cor(effects)
cat(json(list(
  cpu = ran$cpu, wall = ran$wall, reading_cpu = reading$cpu, peak_gb = peak_gb(),
  log_likelihood = as.numeric(logLik(fitted)), iterations = fitted$numIter,
  asymptote = fixed$asymptote, midpoint = fixed$midpoint, scale = fixed$scale,
  asymptote_sd = sqrt(effects[1, 1]), midpoint_sd = sqrt(effects[2, 2]), scale_sd = sqrt(effects[3, 3]),
  sigma = fitted$sigma, correlation = correlation[lower.tri(correlation)],
  asymptote_se = sqrt(vcov(fitted)[1, 1]), version = sprintf("R %s, nlme %s", getRversion(), packageVersion("nlme"))
)), "\n")
