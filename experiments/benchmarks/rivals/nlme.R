# Maximum likelihood of the same model by nlme, whose criterion linearises the course around each subject's effects.
#
#   Rscript nlme.R HERE FOLDER VISITS.csv NAME=START ...

arguments <- commandArgs(trailingOnly = TRUE)
source(file.path(arguments[1], "clock.R"))
suppressPackageStartupMessages(library(nlme))

reading <- clocked(visits_of(arguments[3]))
visits <- reading$value
start <- given(arguments[-(1:3)])

ran <- clocked(
  nlme(y ~ SSlogis(time, asymptote, midpoint, scale),
    data = visits, fixed = asymptote + midpoint + scale ~ 1,
    random = list(subject = pdSymm(asymptote + midpoint + scale ~ 1)),
    start = start[c("asymptote", "midpoint", "scale")], method = "ML", control = nlmeControl(maxIter = 200)
  )
)
fitted <- ran$value
effects <- as.matrix(fitted$modelStruct$reStruct$subject) * fitted$sigma^2
fixed <- as.list(fixef(fitted))
correlation <- cov2cor(effects)
cat(json(list(
  cpu = ran$cpu, wall = ran$wall, reading_cpu = reading$cpu, peak_gb = peak_gb(),
  log_likelihood = as.numeric(logLik(fitted)),
  asymptote = fixed$asymptote, midpoint = fixed$midpoint, scale = fixed$scale,
  asymptote_sd = sqrt(effects[1, 1]), midpoint_sd = sqrt(effects[2, 2]), scale_sd = sqrt(effects[3, 3]),
  sigma = fitted$sigma, correlation = correlation[lower.tri(correlation)],
  asymptote_se = sqrt(vcov(fitted)[1, 1]), version = sprintf("R %s, nlme %s", getRversion(), packageVersion("nlme"))
)), "\n")
