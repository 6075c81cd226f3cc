# A stand-in for the image `postgres` where no registry can be reached: Debian's PostgreSQL, and of that image's
# behaviour what compose.yaml uses. For docker/test.sh alone.
ARG BASE_IMAGE
# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ \
    && install -d -o postgres -g postgres /var/lib/postgresql/data
COPY docker/standins/postgres.sh /usr/local/bin/docker-entrypoint.sh
# hadolint ignore=DL3066
USER postgres
VOLUME ["/var/lib/postgresql/data"]
ENTRYPOINT ["bash", "/usr/local/bin/docker-entrypoint.sh"]
