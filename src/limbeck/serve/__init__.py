"""The server: waiting and traffic around a pipeline. Nothing here computes.

In: requests in several protocols. Out: one answer each before its deadline, or a refusal that says
why. `service` is the heart; `protocols` turn bytes into its requests and its answers into bytes,
`http` carries them, `models` holds what is loaded, `scheduler` decides what is computed when.
Neighbours: pipeline and runtimes below, cli above; forge and loadtest beside it know nothing of it.
"""
