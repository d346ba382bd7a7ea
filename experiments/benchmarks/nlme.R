# Seconds of lme() by maximum likelihood, without R's own start; the first fit, which loads code, is not counted.
# Prints the seconds of every fit, the log-likelihood and the versions, a line each.
#
#   Rscript nlme.R VISITS.csv TIMES       (columns subject, time [years], log_bilirubin)

library(nlme)

arguments <- commandArgs(trailingOnly = TRUE)
visits <- read.csv(arguments[1])
fit <- function() lme(log_bilirubin ~ time, random = ~ time | subject, data = visits, method = "ML")

fitted <- fit()
seconds <- replicate(as.integer(arguments[2]), system.time(fit())[["elapsed"]])
cat(seconds, "\n")
cat(sprintf("%.8f\n", as.numeric(logLik(fitted))))
cat(sprintf("R %s, nlme %s\n", getRversion(), packageVersion("nlme")))
